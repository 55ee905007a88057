// Values of a document that the command line says otherwise: `key.path=value` pairs, from `--set` or from an option that stands for a key.
import { type Document, isCollection, isScalar, isSeq, parseDocument } from 'yaml';
import { UsageError } from '../host/errors.js';

/** A pair, and how the command line has it. */
export interface Override {
  /** `key.path=value`; values are YAML. */
  pair: string;
  shown: string;
}

/** Applies the pairs in turn. Throws UsageError for what is no pair, or names a place that the document cannot have. */
export function applyOverrides(document: Document, overrides: readonly Override[]): void {
  for (const { pair, shown } of overrides) {
    const at = pair.indexOf('=');
    if (at <= 0) throw new UsageError('--set', `${shown}: expected key=value, such as --set duration=30s`);
    const value = parseDocument(pair.slice(at + 1));
    if (value.errors.length > 0) throw new UsageError('--set', `${shown}: ${value.errors[0]!.message.split('\n')[0]}`);
    if (document.contents === null || (isScalar(document.contents) && document.contents.value === null))
      document.contents = document.createNode({}) as never;
    const path = overridePath(pair);
    const wrong = refusal(document, path);
    if (wrong !== undefined) throw new UsageError('--set', `${shown}: ${wrong}`);
    document.setIn(path, document.createNode(value.toJS()));
  }
}

/** Why the document can have no value at the path, if it cannot. */
function refusal(document: Document, path: readonly (string | number)[]): string | undefined {
  for (const [depth, key] of path.entries()) {
    const outer = path.slice(0, depth);
    const name = outer.length === 0 ? 'the document' : outer.join('.');
    const node: unknown = outer.length === 0 ? document.contents : document.getIn(outer, true);
    if (node === undefined) return undefined;
    if (!isCollection(node)) return `${name} has no keys, but a value`;
    if (!isSeq(node)) continue;
    const { length } = node.items;
    if (typeof key !== 'number') return `${name} is a list; expected a number from 0 to ${length} in place of '${key}'`;
    if (key > length) return `${name} has ${length}, numbered from 0; ${length} would add one`;
  }
  return undefined;
}

/** `a.0.b` of `a.0.b=value`. The keys of thresholds have dots of their own. */
export function overridePath(pair: string): (string | number)[] {
  const key = pair.slice(0, pair.indexOf('='));
  const threshold = /^thresholds\.(.+)$/.exec(key);
  if (threshold !== null) return ['thresholds', threshold[1]!];
  return key.split('.').map((each) => (/^\d+$/.test(each) ? Number(each) : each));
}
