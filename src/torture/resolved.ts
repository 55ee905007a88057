// A profile with every default filled in and every path made absolute, as YAML that can be run again, and where each value came from.
import { dirname, resolve } from 'node:path';
import { Document, isMap, isScalar, isSeq, type Node } from 'yaml';
import type { OpenedDocument } from './document.js';
import type { Profile } from './schema.js';

type Path = (string | number)[];

/** The profile with the files that it names as absolute paths: it may be stored elsewhere. */
export function withAbsolutePaths(profile: Profile, profilePath: string): Profile {
  const absolute = (path: string): string => resolve(dirname(profilePath), path);
  const { layout } = profile.host;
  return {
    ...profile,
    host: { ...profile.host, ...(layout === undefined ? {} : { layout: absolute(layout) }) },
    hook: /^(none|snp)$/.test(profile.hook) ? profile.hook : absolute(profile.hook),
    ...(typeof profile.costs === 'string' ? { costs: absolute(profile.costs) } : {}),
    vms: profile.vms.map((vm) => (vm.memslots === undefined ? vm : { ...vm, memslots: absolute(vm.memslots) })),
  };
}

/** Visits every value that is no mapping and no list of mappings, with its path. */
function visitLeaves(node: Node, path: Path, visit: (leaf: Node, path: Path) => void): void {
  if (isMap(node) && node.items.length > 0) {
    for (const { key, value } of node.items)
      visitLeaves(value as Node, [...path, isScalar(key) ? String(key.value) : String(key)], visit);
  } else if (isSeq(node) && node.items.some(isMap)) {
    node.items.forEach((item, n) => visitLeaves(item as Node, [...path, n], visit));
  } else visit(node, path);
}

/** The profile as YAML, each value with a comment that says where it came from. */
export function resolvedYaml(profile: Profile, origin: OpenedDocument<Profile>['origin']): string {
  const document = new Document(profile, { aliasDuplicateObjects: false });
  visitLeaves(document.contents as Node, [], (leaf, path) => {
    if (isSeq(leaf) || isMap(leaf)) leaf.flow = true;
    leaf.comment = ` ${origin(path)}`;
  });
  return document.toString({ lineWidth: 0 });
}

/** Where each value of the profile came from, by its path: `actors.0.rate`. */
export function profileSources(profile: Profile, origin: OpenedDocument<Profile>['origin']): Record<string, string> {
  const sources: Record<string, string> = {};
  visitLeaves(new Document(profile).contents as Node, [], (_, path) => (sources[path.join('.')] = origin(path)));
  return sources;
}
