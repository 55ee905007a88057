// Turns a real log into what this project runs: a memslot sequence, a host layout; and says in our terms what the log shows.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { UsageError } from '../host/errors.js';
import { unreadable } from '../host/unreadable.js';
import {
  explainStacks, frameGrammar, kasanAccessGrammar, kasanGrammar, reportGrammar, stackGrammar,
} from './call-trace.js'; // prettier-ignore
import { explainGraph, graphGrammar } from './function-graph.js';
import {
  asidGrammar, explainHost, layoutDocument, layoutProfile, memoryGrammar, rmpTableGrammar, type AsidFact, type MemoryFact, type RmpTableFact,
} from './host-log.js'; // prettier-ignore
import { readLog, refuseDamaged, refuseForeign, type Fact, type Grammar, type Unread } from './log.js';
import { explainInitialMemory, initialMemoryGrammar, ramEntryGrammar } from './initial-memory.js';
import { explainMemslots, memslotGrammar, memslotsDocument, memslotsProfile, type MemslotFact } from './memslots.js';
import {
  explainRmp, iommuFaultGrammar, leakGrammar, type PageState, rmpDecodedGrammar, rmpEntryGrammar, rmpFaultGrammar, rmpUpdateGrammar, unassignedGrammar,
} from './rmp-log.js'; // prettier-ignore
import { rmpScenario } from './rmp-scenario.js';
import { scenarioDocument } from './scenarios.js';
import {
  explainTrace,
  faultGrammar,
  otherEventGrammar,
  probedFaultGrammar,
  spteGrammar,
  stuckFaultGrammar,
  unmapGrammar,
} from './trace-log.js';
import { traceProfile } from './trace-profile.js';
import { traceScenario } from './trace-scenario.js';

const GRAMMARS: readonly Grammar<Fact>[] = [
  memslotGrammar,
  initialMemoryGrammar,
  ramEntryGrammar,
  rmpTableGrammar,
  memoryGrammar,
  asidGrammar,
  rmpEntryGrammar,
  rmpUpdateGrammar,
  rmpDecodedGrammar,
  leakGrammar,
  rmpFaultGrammar,
  unassignedGrammar,
  iommuFaultGrammar,
  faultGrammar,
  spteGrammar,
  unmapGrammar,
  otherEventGrammar,
  stuckFaultGrammar,
  probedFaultGrammar,
  graphGrammar,
  kasanGrammar,
  kasanAccessGrammar,
  stackGrammar,
  frameGrammar,
  reportGrammar,
];

/** A document made from the log, for a file of this name. */
export interface ImportedDocument {
  kind: 'memslots' | 'layout' | 'scenario' | 'profile';
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

/**
 * Reads the log at `path`. Throws UsageError (file:line) when there is no such file, none of its lines is known, or, unless it is only to be explained, a line is damaged that a
 * document would be made of.
 */
export function importLog(path: string, pageState: PageState, { explain = false } = {}): ImportResult {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError('import', `${path}: ${unreadable(error)}`);
  }
  const log = readLog(text, GRAMMARS);
  refuseForeign(path, log, GRAMMARS);
  const of = <F extends Fact>(kind: string): F[] => log.facts.filter((fact) => fact.kind === kind) as F[];
  const documents = documentsOf(path, log.facts);
  if (!explain) for (const { kind } of documents) refuseDamaged(path, log, MADE_OF[kind]);
  const asids = of<AsidFact>('asids').map(({ what, first, last }) => `${what}: ASIDs ${first} to ${last}`);
  return {
    schema: 'rmptorture/import/1',
    command: 'import',
    file: path,
    lines: log.lines,
    understood: log.understood,
    kinds: log.counts,
    unread: log.unread,
    explanation: [
      ...explainMemslots(of<MemslotFact>('memslot')),
      ...explainInitialMemory(log.facts),
      ...explainHost(of<RmpTableFact>('rmp-table'), of<MemoryFact>('memory')),
      ...asids,
      ...explainRmp(log.facts, pageState),
      ...explainTrace(log.facts),
      ...explainGraph(log.facts),
      ...explainStacks(log.facts),
    ],
    documents,
  };
}

const SCENARIO_LINES: readonly Grammar<Fact>[] = [
  rmpEntryGrammar,
  rmpUpdateGrammar,
  rmpDecodedGrammar,
  faultGrammar,
  spteGrammar,
  probedFaultGrammar,
];

/** The lines that documents of each kind are made of. */
const MADE_OF: Record<ImportedDocument['kind'], readonly Grammar<Fact>[]> = {
  memslots: [memslotGrammar],
  profile: [memslotGrammar, memoryGrammar, rmpTableGrammar],
  layout: [memoryGrammar, rmpTableGrammar],
  scenario: SCENARIO_LINES,
};

/** What is made of the facts: at most one document of each kind. */
function documentsOf(path: string, facts: readonly Fact[]): ImportedDocument[] {
  const source = basename(path);
  const name = source.replace(/\.\w+$/, '').replaceAll(/[^\w.-]+/g, '-');
  const of = <F extends Fact>(kind: string): F[] => facts.filter((fact) => fact.kind === kind) as F[];
  const documents: ImportedDocument[] = [];
  const add = (kind: ImportedDocument['kind'], text: string | undefined): void => {
    if (text !== undefined) documents.push({ kind, fileName: `${name}.${kind}.yaml`, text });
  };
  const memslots = of<MemslotFact>('memslot');
  const layout = layoutDocument(name, source, of<RmpTableFact>('rmp-table'), of<MemoryFact>('memory'));
  if (memslots.length > 0) add('memslots', memslotsDocument(name, source, memslots));
  add('layout', layout);
  if (memslots.length > 0) add('profile', memslotsProfile(name, source, memslots));
  else add('profile', layout === undefined ? traceProfile(name, source, facts) : layoutProfile(name, source));
  const scenario = rmpScenario(name, facts) ?? traceScenario(name, facts);
  add('scenario', scenario && scenarioDocument(scenario, source));
  return documents;
}
