// A worker's share of a search over states: takes parts of it out of the bag, gives parts away when others wait, and says at the end what it met.
import { nowNs } from '../../host/clock.js';
import { WorkShare, type WorkShareHandle } from '../../host/work-share.js';
import type { Target } from '../target.js';
import { VisitedSet, type VisitedHandle } from '../visited.js';
import { DepthFirst } from './depth-first.js';
import { Locality, type LocalityTable } from './locality.js';
import type { SearchResult } from './machine.js';
import { type SavedState, StateMachine } from './state-machine.js';
import { decodePart, encodePart, type Part } from './way.js';

/** What the workers of one search share. */
export interface SearchTask {
  worker: number;
  share: WorkShareHandle;
  visited: VisitedHandle;
  locality: LocalityTable;
  /** Most states, longest execution in steps. */
  states: number;
  depth: number;
}

/** What one worker met. */
export interface SearchReply {
  transitions: number;
  executions: number;
  deepest: number;
  limits: SearchResult['limits'];
  violation?: SearchResult['violation'];
  /** What the worker learned of who touches what, and whether it had taken something shared for local before. */
  locality: LocalityTable;
  changed: boolean;
  /** When it began and ended, on the one clock of all threads. */
  startNs: number;
  endNs: number;
  /** Of a search that was stopped: what is left of the worker's part. */
  rest?: Part;
}

/** What a worker notes of itself while it works (WorkShare.note). */
export const NOTE_TRANSITIONS = 0;
export const NOTE_FRONTIER = 1;
export const NOTE_SHARE = 2;

const SLICE = 512;
/** What is shared is nearly all met within so many transitions: a search that finds out sooner is given up at once. */
export const EARLY = 50_000;

export class SearchWorker {
  readonly #locality: Locality;
  readonly #machine: StateMachine;

  constructor(target: Target) {
    this.#locality = new Locality(target.machine.memory.stateEnd, target.spinsAreEndless);
    this.#machine = new StateMachine(target, this.#locality);
  }

  /** Works until all is done or the search is stopped. Blocks the thread. */
  run(task: SearchTask): SearchReply {
    const startNs = nowNs();
    const share = WorkShare.attach(task.share);
    const visited = VisitedSet.attach(task.visited);
    this.#locality.load(task.locality);
    this.#locality.changed = false;
    const reply: SearchReply = {
      transitions: 0,
      executions: 0,
      deepest: 0,
      limits: [],
      locality: task.locality,
      changed: false,
      startNs,
      endNs: startNs,
    };
    let done = 0;
    for (let job = share.take(); job !== undefined; job = share.take()) {
      const part = decodePart(job);
      const { search, left } = this.#work(part, share, visited, { ...task, before: reply.transitions, done });
      this.#machine.release();
      const { limits, violation, transitions, executions, deepest } = search.result();
      reply.transitions += transitions;
      reply.executions += executions;
      reply.deepest = Math.max(reply.deepest, deepest);
      reply.limits = [...new Set([...reply.limits, ...limits])];
      done += part.weight - left;
      if (violation !== undefined) reply.violation = violation;
      const rest = search.rest();
      if (rest.length > 0 && violation === undefined) reply.rest = { weight: part.weight - left, ways: rest };
      share.finish();
    }
    reply.locality = this.#locality.table();
    reply.changed = this.#locality.changed;
    reply.endNs = nowNs();
    return reply;
  }

  /** One part of the search, and how much of it was given away. */
  #work(
    part: Part,
    share: WorkShare,
    visited: VisitedSet,
    { worker, states, depth, before, done }: SearchTask & { before: number; done: number },
  ): { search: DepthFirst<SavedState>; left: number } {
    const search = new DepthFirst(this.#machine, visited, { states, depth, stop: () => share.isStopped }, false);
    search.take(part.ways);
    let left = 0;
    const isInVain = (): boolean => this.#locality.changed && before + search.transitions < EARLY;
    while (!search.run(SLICE)) {
      if (isInVain()) share.stop();
      share.note(worker, NOTE_TRANSITIONS, before + search.transitions);
      share.note(worker, NOTE_FRONTIER, search.frontier);
      share.note(worker, NOTE_SHARE, done + part.weight * search.share - left);
      if (share.isWanted) left += this.#giveAway(search, share, part.weight);
    }
    if (search.result().violation !== undefined) share.stop();
    return { search, left };
  }

  /** Puts a part of the search into the bag; which share of the whole it is. */
  #giveAway(search: DepthFirst<SavedState>, share: WorkShare, weight: number): number {
    const part = search.split();
    if (part === undefined) return 0;
    const given = { weight: part.weight * weight, ways: part.ways };
    if (share.put(encodePart(given))) return given.weight;
    search.putBack(part);
    return 0;
  }
}
