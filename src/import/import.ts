// Turns a real log into what this project runs: a memslot sequence, a host layout; and says in our terms what the log shows.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { UsageError } from '../host/errors.js';
import {
  explainStacks, frameGrammar, kasanAccessGrammar, kasanGrammar, reportGrammar, stackGrammar,
} from './call-trace.js'; // prettier-ignore
import { explainGraph, graphGrammar } from './function-graph.js';
import {
  asidGrammar, explainHost, layoutDocument, memoryGrammar, rmpTableGrammar, type AsidFact, type MemoryFact, type RmpTableFact,
} from './host-log.js'; // prettier-ignore
import { readLog, refuseForeign, type Fact, type Grammar, type Unread } from './log.js';
import { explainMemslots, memslotGrammar, memslotsDocument, type MemslotFact } from './memslots.js';
import {
  explainRmp, leakGrammar, type PageState, rmpDecodedGrammar, rmpEntryGrammar, rmpFaultGrammar, rmpUpdateGrammar, unassignedGrammar,
} from './rmp-log.js'; // prettier-ignore
import { explainTrace, faultGrammar, otherEventGrammar, spteGrammar, stuckFaultGrammar } from './trace-log.js';

const GRAMMARS: readonly Grammar<Fact>[] = [
  memslotGrammar,
  rmpTableGrammar,
  memoryGrammar,
  asidGrammar,
  rmpEntryGrammar,
  rmpUpdateGrammar,
  rmpDecodedGrammar,
  leakGrammar,
  rmpFaultGrammar,
  unassignedGrammar,
  faultGrammar,
  spteGrammar,
  otherEventGrammar,
  stuckFaultGrammar,
  graphGrammar,
  kasanGrammar,
  kasanAccessGrammar,
  stackGrammar,
  frameGrammar,
  reportGrammar,
];

/** A document made from the log, for a file of this name. */
export interface ImportedDocument {
  kind: 'memslots' | 'layout';
  fileName: string;
  text: string;
}

export interface ImportResult {
  schema: 'rmptorture/import/1';
  command: 'import';
  file: string;
  lines: number;
  understood: number;
  /** Facts by kind of line. */
  kinds: Record<string, number>;
  unread: Unread[];
  explanation: string[];
  documents: ImportedDocument[];
}

/** Reads the log at `path`. Throws UsageError (file:line) when there is no such file or none of its lines is known. */
export function importLog(path: string, pageState: PageState): ImportResult {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UsageError('import', `${path}: ${code === 'ENOENT' ? 'no such file' : message}`);
  }
  const log = readLog(text, GRAMMARS);
  refuseForeign(path, log, GRAMMARS);
  const of = <F extends Fact>(kind: string): F[] => log.facts.filter((fact) => fact.kind === kind) as F[];
  const [memslots, tables, memory] = [
    of<MemslotFact>('memslot'),
    of<RmpTableFact>('rmp-table'),
    of<MemoryFact>('memory'),
  ];
  const asids = of<AsidFact>('asids').map(({ what, first, last }) => `${what}: ASIDs ${first} to ${last}`);
  const name = basename(path)
    .replace(/\.\w+$/, '')
    .replaceAll(/[^\w.-]+/g, '-');
  const layout = layoutDocument(name, basename(path), tables, memory);
  return {
    schema: 'rmptorture/import/1',
    command: 'import',
    file: path,
    lines: log.lines,
    understood: log.understood,
    kinds: log.counts,
    unread: log.unread,
    explanation: [
      ...explainMemslots(memslots),
      ...explainHost(tables, memory),
      ...asids,
      ...explainRmp(log.facts, pageState),
      ...explainTrace(log.facts),
      ...explainGraph(log.facts),
      ...explainStacks(log.facts),
    ],
    documents: [
      ...(memslots.length === 0
        ? []
        : [
            {
              kind: 'memslots' as const,
              fileName: `${name}.memslots.yaml`,
              text: memslotsDocument(name, basename(path), memslots),
            },
          ]),
      ...(layout === undefined ? [] : [{ kind: 'layout' as const, fileName: `${name}.layout.yaml`, text: layout }]),
    ],
  };
}
