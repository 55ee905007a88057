// The states of a loop and the steps between them, found by making the steps again: what is asked of a loop in which somebody gets on, and the way round
// that people are shown, need more than the search keeps of it. Components after Tarjan, as in loops.ts, here with some of the steps left out.
import type { SearchMachine } from './machine.js';
import { lowest } from './machine.js';

export interface Node {
  enabled: number;
  edges: Edge[];
  /** Of the last look for components: its number in the order of the visit, and the lowest one it leads back to. */
  index: number;
  link: number;
}

export interface Edge {
  thread: number;
  to: Node;
  steps: number;
  /** The steps' threads, and the answers to the choices within them. */
  picks: readonly number[];
  /** The thread said that it has got on. */
  progressed: boolean;
}

/** A state whose steps are being made. */
interface Visit {
  node: Node;
  mark: number;
  /** Threads that are left. */
  todo: number;
  thread: number;
  /** Answers of the next step of `thread`; undefined: it has made all. */
  ways: readonly number[] | undefined;
}

/** The states with these hashes that the machine's present one leads to, itself first. The machine is somewhere else afterwards. */
export function graphOf<S>(machine: SearchMachine<S>, hashes: readonly number[]): Node[] {
  const members = new Set<string>();
  for (let n = 0; n < hashes.length; n += 2) members.add(`${hashes[n]}:${hashes[n + 1]}`);
  const nodes = new Map<string, Node>();
  const visits: Visit[] = [];
  /** The node of the state that the machine is in. */
  const here = (): Node | undefined => {
    const key = `${machine.hashLow}:${machine.hashHigh}`;
    const known = nodes.get(key);
    if (known !== undefined || !members.has(key)) return known;
    const node: Node = { enabled: machine.enabled(), edges: [], index: 0, link: 0 };
    nodes.set(key, node);
    const local = machine.localStep();
    const todo = local < 0 ? node.enabled : 1 << local;
    visits.push({ node, mark: machine.mark(), todo, thread: -1, ways: undefined });
    return node;
  };
  here();
  for (let visit = visits.at(-1); visit !== undefined; visit = visits.at(-1)) {
    if (visit.todo === 0 && visit.ways === undefined) visits.pop();
    else nextStep(machine, visit, here);
  }
  return [...nodes.values()];
}

/** Makes the next step from a state, as the search does. */
function nextStep<S>(machine: SearchMachine<S>, visit: Visit, here: () => Node | undefined): void {
  if (visit.ways === undefined) {
    visit.thread = lowest(visit.todo);
    visit.todo &= ~(1 << visit.thread);
  }
  machine.back(visit.mark);
  const { node, thread } = visit;
  const failed = machine.step(thread, visit.ways ?? [], true) !== undefined;
  const { steps, answers, progressed } = machine;
  visit.ways = machine.nextAnswers();
  const to = failed || machine.enabled() === 0 ? undefined : here();
  if (to === undefined) return;
  const picks = [...Array.from({ length: steps }, () => thread), ...answers];
  node.edges.push({ thread, to, steps, picks, progressed });
}

/** The sets of nodes that reach one another by steps of the sort, those alone by a step to themselves. */
export function componentsOf(nodes: readonly Node[], isKept: (edge: Edge) => boolean): Node[][] {
  const found: Node[][] = [];
  const inside = new Set(nodes);
  for (const node of nodes) node.index = 0;
  let count = 0;
  /** Nodes whose component is not known yet, and the way from the first one: which edge of each is next. */
  const open: Node[] = [];
  const way: { node: Node; next: number }[] = [];
  const visit = (node: Node): void => {
    node.index = node.link = ++count;
    open.push(node);
    way.push({ node, next: 0 });
  };
  for (const first of nodes) {
    if (first.index === 0) visit(first);
    for (let top = way.at(-1); top !== undefined; top = way.at(-1)) {
      const edge = top.node.edges[top.next++];
      if (edge !== undefined) {
        if (!isKept(edge) || !inside.has(edge.to)) continue;
        if (edge.to.index === 0) visit(edge.to);
        else top.node.link = Math.min(top.node.link, edge.to.link);
        continue;
      }
      way.pop();
      const { node } = top;
      const before = way.at(-1)?.node;
      if (before !== undefined) before.link = Math.min(before.link, node.link);
      if (node.link === node.index) found.push(close(node, open));
    }
  }
  return found.filter((set) => set.length > 1 || set[0]!.edges.some((edge) => isKept(edge) && edge.to === set[0]));
}

/** Takes the component that begins with `node` off the nodes whose component is not known. */
function close(node: Node, open: Node[]): Node[] {
  const set = open.splice(open.lastIndexOf(node));
  // No way leads from later nodes back through these.
  for (const each of set) each.link = Infinity;
  return set;
}

/** The fewest edges of the sort from a node, the last of which is one that was looked for. */
export function shortestWay(
  from: Node,
  isThere: (edge: Edge) => boolean,
  isKept: (edge: Edge) => boolean,
): Edge[] | undefined {
  const cameBy = new Map<Node, { edge: Edge; before: Node }>();
  const queue = [from];
  for (const node of queue) {
    for (const edge of node.edges) {
      if (!isKept(edge)) continue;
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
