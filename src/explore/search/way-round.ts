// A way round a component of states that shows it is a livelock: from its first state back to it, through a step of every thread that runs in it and
// through a state for each of the others in which that thread cannot run.
import type { Component } from './loops.js';
import type { SearchMachine } from './machine.js';
import { lowest } from './machine.js';

interface Node {
  enabled: number;
  edges: Edge[];
}

interface Edge {
  thread: number;
  to: Node;
  steps: number;
  picks: readonly number[];
}

/** A closed schedule: its steps, and its picks with the answers to the choices within them. */
export interface Round {
  steps: number;
  picks: readonly number[];
}

/** The machine is in the first state of the component. */
export function wayRound<S>(machine: SearchMachine<S>, { hashes, ran }: Component): Round {
  const start = graphOf(machine, hashes);
  const round: Edge[] = [];
  let at = start;
  const go = (isThere: (edge: Edge) => boolean): void => {
    const way = shortestWay(at, isThere);
    if (way === undefined) throw new Error('the search met a loop of states that it does not meet again');
    round.push(...way);
    at = way.at(-1)!.to;
  };
  for (let left = ran; left !== 0; left &= left - 1) {
    const thread = lowest(left);
    if (!round.some((edge) => edge.thread === thread)) go((edge) => edge.thread === thread);
  }
  const resting = (thread: number): boolean => round.every((edge) => (edge.to.enabled & (1 << thread)) !== 0);
  for (let left = start.enabled & ~ran; left !== 0; left &= left - 1) {
    const thread = lowest(left);
    if (resting(thread)) go((edge) => (edge.to.enabled & (1 << thread)) === 0);
  }
  if (at !== start) go((edge) => edge.to === start);
  return { steps: round.reduce((sum, { steps }) => sum + steps, 0), picks: round.flatMap(({ picks }) => picks) };
}

/** The states of the component and the steps between them; the first one. */
function graphOf<S>(machine: SearchMachine<S>, hashes: readonly number[]): Node {
  const members = new Set<string>();
  for (let n = 0; n < hashes.length; n += 2) members.add(`${hashes[n]}:${hashes[n + 1]}`);
  const nodes = new Map<string, Node>();
  const left: { node: Node; saved: S }[] = [];
  /** The node of the state that the machine is in. */
  const here = (): Node | undefined => {
    const key = `${machine.hashLow}:${machine.hashHigh}`;
    const known = nodes.get(key);
    if (known !== undefined || !members.has(key)) return known;
    const node: Node = { enabled: machine.enabled(), edges: [] };
    nodes.set(key, node);
    left.push({ node, saved: machine.save() });
    return node;
  };
  const first = here()!;
  for (let next = left.pop(); next !== undefined; next = left.pop()) expand(machine, next.node, next.saved, here);
  return first;
}

/** Makes every step from a state, as the search does. */
function expand<S>(machine: SearchMachine<S>, node: Node, saved: S, here: () => Node | undefined): void {
  machine.restore(saved);
  const local = machine.localStep();
  for (let left = local < 0 ? node.enabled : 1 << local; left !== 0; left &= left - 1) {
    const thread = lowest(left);
    for (let ways: readonly number[] | undefined = []; ways !== undefined;) {
      machine.restore(saved);
      const failed = machine.step(thread, ways, true) !== undefined;
      const { steps, answers } = machine;
      ways = machine.nextAnswers();
      const to = failed || machine.enabled() === 0 ? undefined : here();
      if (to === undefined) continue;
      node.edges.push({ thread, to, steps, picks: [...Array.from({ length: steps }, () => thread), ...answers] });
    }
  }
}

/** The fewest edges from a node, the last of which is one that was looked for. */
function shortestWay(from: Node, isThere: (edge: Edge) => boolean): Edge[] | undefined {
  const cameBy = new Map<Node, { edge: Edge; before: Node }>();
  const queue = [from];
  for (const node of queue) {
    for (const edge of node.edges) {
      if (isThere(edge)) return [...wayTo(from, node, cameBy), edge];
      if (edge.to === from || cameBy.has(edge.to)) continue;
      cameBy.set(edge.to, { edge, before: node });
      queue.push(edge.to);
    }
  }
  return undefined;
}

function wayTo(from: Node, to: Node, cameBy: Map<Node, { edge: Edge; before: Node }>): Edge[] {
  const way: Edge[] = [];
  for (let node = to; node !== from;) {
    const { edge, before } = cameBy.get(node)!;
    way.push(edge);
    node = before;
  }
  return way.toReversed();
}
