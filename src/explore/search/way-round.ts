// Whether a loop of states that a fair scheduler does not end is a failure, and a way round it that shows it. Without a step in which a thread says that it
// gets on (`progress()`) every such loop is a livelock. With them, a livelock is a loop that leaves all of them out; starvation is one that leaves
// those of a thread out while another one gets on. For that the scheduler must be fair to every thread that can run now and then, not only to those that can
// all the time: else a thread that waits for a lock would be called starving because it was passed over whenever the lock was free.
// Fair loops by leaving states out: Emerson and Lei, "Modalities for Model Checking", Sci. Comput. Programming 1987.
import type { Component } from './loops.js';
import { componentsOf, type Edge, graphOf, type Node, shortestWay } from './loop-graph.js';
import type { SearchMachine } from './machine.js';
import { lowest } from './machine.js';

/** A closed schedule: its steps, and its picks with the answers to the choices within them. */
export interface Round {
  steps: number;
  picks: readonly number[];
}

/** A loop that is a failure: the way from the component's first state into it, and the way round. */
export interface EndlessRound {
  kind: 'livelock' | 'starvation';
  into: Round;
  round: Round;
}

/** Nodes that reach one another by steps of a sort. */
interface Loop {
  nodes: readonly Node[];
  isKept: (edge: Edge) => boolean;
}

/** The failure in a component, if there is one. The machine is in its first state, and somewhere else afterwards. */
export function endlessRound<S>(machine: SearchMachine<S>, component: Component): EndlessRound | undefined {
  const unfinished = machine.unfinished();
  const nodes = graphOf(machine, component.hashes);
  const found = (kind: EndlessRound['kind'], loop: Loop, isMet?: (edge: Edge) => boolean): EndlessRound => {
    const start = loop.nodes[0]!;
    const into =
      start === nodes[0]
        ? []
        : shortestWay(
            nodes[0]!,
            ({ to }) => to === start,
            () => true,
          )!;
    return { kind, into: roundOf(into), round: roundOf(wayRound(start, loop, isMet)) };
  };
  if (component.progressed === 0) return found('livelock', { nodes, isKept: () => true });
  const rests = ({ progressed }: Edge): boolean => !progressed;
  for (const each of componentsOf(nodes, rests)) {
    const loop = loopOf(each, rests);
    const { ran, always } = threadsOf(loop);
    if ((always & ~ran) === 0) return found('livelock', loop);
  }
  for (let left = unfinished; left !== 0; left &= left - 1) {
    const starving = lowest(left);
    const loop = fairLoop(nodes, ({ thread, progressed }) => !progressed || thread !== starving);
    if (loop !== undefined) return found('starvation', loop, ({ progressed }) => progressed);
  }
  return undefined;
}

function loopOf(nodes: readonly Node[], isKept: (edge: Edge) => boolean): Loop {
  const inside = new Set(nodes);
  return { nodes, isKept: (edge) => isKept(edge) && inside.has(edge.to) };
}

/** Threads that run in a loop, that can run in all of its states, and in one of them. */
function threadsOf({ nodes, isKept }: Loop): { ran: number; always: number; ever: number } {
  let [ran, always, ever] = [0, -1, 0];
  for (const { enabled, edges } of nodes) {
    always &= enabled;
    ever |= enabled;
    for (const edge of edges) if (isKept(edge)) ran |= 1 << edge.thread;
  }
  return { ran, always, ever };
}

/** A loop in which somebody gets on, and every thread that can run in it does: in what is left where those that never run can be left out. */
function fairLoop(nodes: readonly Node[], isKept: (edge: Edge) => boolean): Loop | undefined {
  const left = [nodes];
  for (let some = left.pop(); some !== undefined; some = left.pop()) {
    for (const each of componentsOf(some, isKept)) {
      const loop = loopOf(each, isKept);
      if (!each.some(({ edges }) => edges.some((edge) => edge.progressed && loop.isKept(edge)))) continue;
      const { ran, ever } = threadsOf(loop);
      if ((ever & ~ran) === 0) return loop;
      left.push(each.filter(({ enabled }) => (enabled & ~ran) === 0));
    }
  }
  return undefined;
}

/**
 * From a node of a loop back to it, through a step of every thread that runs in it, through one of those asked for, and through a state for each of the
 * other threads in which that one cannot run.
 */
function wayRound(start: Node, loop: Loop, isMet?: (edge: Edge) => boolean): Edge[] {
  const { ran } = threadsOf(loop);
  const round: Edge[] = [];
  let at = start;
  const go = (isThere: (edge: Edge) => boolean): void => {
    const way = shortestWay(at, isThere, loop.isKept);
    if (way === undefined) throw new Error('the search met a loop of states that it does not meet again');
    round.push(...way);
    at = way.at(-1)!.to;
  };
  for (let left = ran; left !== 0; left &= left - 1) {
    const thread = lowest(left);
    if (!round.some((edge) => edge.thread === thread)) go((edge) => edge.thread === thread);
  }
  if (isMet !== undefined && !round.some(isMet)) go(isMet);
  const resting = (thread: number): boolean => round.every((edge) => (edge.to.enabled & (1 << thread)) !== 0);
  for (let left = start.enabled & ~ran; left !== 0; left &= left - 1) {
    const thread = lowest(left);
    if (resting(thread)) go((edge) => (edge.to.enabled & (1 << thread)) === 0);
  }
  if (at !== start) go((edge) => edge.to === start);
  return round;
}

function roundOf(edges: readonly Edge[]): Round {
  return { steps: edges.reduce((sum, { steps }) => sum + steps, 0), picks: edges.flatMap(({ picks }) => picks) };
}
