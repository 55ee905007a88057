// ftrace's function_graph text, as trace files have it (with or without task and time columns) and as `trace-cmd report` prints it (funcgraph_entry and
// funcgraph_exit): nested calls with durations; which of them are steps of our model, and how long each took. Source: kernel/trace/trace_functions_graph.c.
import { FAULT, MODELLED } from './graph-steps.js';
import type { Fact, Grammar } from './log.js';

export interface GraphFact extends Fact {
  kind: 'graph';
  /** Calls of one CPU and task nest. */
  stack: string;
  event: 'call' | 'leaf' | 'return' | 'mark';
  function: string | undefined;
  durationUs: number | undefined;
}

/** `CPU) [task |] [duration us |] name();`, with the markers that ftrace puts before long durations; behind trace-cmd's prefix without the CPU. */
const COLUMNS = /^\s*(?:[\d.]+ \|\s+)?(\d+)\)\s*(?:(\S.*?-\d+)\s*\|)?\s*(?:[+!#*@$]?\s*([\d.]+) us)?\s*\|\s*(.*?)\s*$/;
const TRACE_CMD =
  /^\s*(.+-\d+)\s+\[(\d+)\]\s+(?:\S+\s+)?[\d.]+: funcgraph_(?:entry|exit):\s*(?:[+!#*@$]?\s*([\d.]+) us)?\s*\|\s*(.*?)\s*$/;
const CALL = /^([\w.]+)(?: \[[\w-]+\])?\(\)(;| \{)(?: \/\*.*\*\/)?$/;
const RETURN = /^\}(?: \/\* .* \*\/)?$/;
/** Lines between calls: interrupts, comments of trace_printk, a switch of tasks. */
const MARK = /^(?:=+> ?\|?|<=+ ?\|?|\/\*.*\*\/)$/;

export const graphGrammar: Grammar<GraphFact> = {
  name: 'function_graph call',
  expected: '`CPU) [time us] | name() {`, `name();` or `}`',
  resembles: /^\s*(?:[\d.]+ \|\s+)?\d+\)\s|: funcgraph_/,
  read(text, line) {
    const switched = /^\s*(\d+)\)\s+\S.*-\d+\s+=>\s+\S.*-\d+\s*$/.exec(text);
    if (switched !== null || /^ ?-{20,}\s*$/.test(text))
      return {
        kind: 'graph',
        line,
        stack: switched?.[1] ?? '',
        event: 'mark',
        function: undefined,
        durationUs: undefined,
      };
    const plain = COLUMNS.exec(text);
    const found = plain ?? TRACE_CMD.exec(text);
    if (found === null) return undefined;
    const stack = plain === null ? `${found[2]} ${found[1]}` : `${found[1]} ${found[2] ?? ''}`;
    const durationUs = found[3] === undefined ? undefined : Number(found[3]);
    const body = found[4]!;
    const call = CALL.exec(body);
    if (call !== null) {
      const event = call[2] === ';' ? 'leaf' : 'call';
      return { kind: 'graph', line, stack, event, function: call[1]!.replace(/\..*/, ''), durationUs };
    }
    if (!RETURN.test(body) && !MARK.test(body)) return undefined;
    return {
      kind: 'graph',
      line,
      stack,
      event: RETURN.test(body) ? 'return' : 'mark',
      function: undefined,
      durationUs,
    };
  },
};

interface Totals {
  calls: number;
  us: number;
  /** Without the time of what it called. */
  ownUs: number;
}

interface Calls {
  byFunction: Map<string, Totals>;
  /** Durations of whole faults. */
  faultsUs: number[];
  /** Returns of calls that began before the log. */
  returnsOnly: number;
  open: number;
}

interface OpenCall {
  name: string;
  insideUs: number;
}

/** Puts calls and returns together, and adds up the times of each function. */
function callsOf(facts: readonly GraphFact[]): Calls {
  const calls: Calls = { byFunction: new Map(), faultsUs: [], returnsOnly: 0, open: 0 };
  const stacks = new Map<string, OpenCall[]>();
  const ended = (name: string, us: number, insideUs: number, parent: OpenCall | undefined): void => {
    const totals = calls.byFunction.get(name)!;
    totals.us += us;
    totals.ownUs += us - insideUs;
    if (parent !== undefined) parent.insideUs += us;
    if (name === FAULT) calls.faultsUs.push(us);
  };
  for (const { stack: key, event, function: name, durationUs } of facts) {
    const stack = stacks.get(key) ?? [];
    stacks.set(key, stack);
    if (event === 'mark') continue;
    if (name !== undefined) {
      const totals = calls.byFunction.get(name) ?? { calls: 0, us: 0, ownUs: 0 };
      totals.calls++;
      calls.byFunction.set(name, totals);
      if (event === 'leaf') ended(name, durationUs ?? 0, 0, stack.at(-1));
      else stack.push({ name, insideUs: 0 });
      continue;
    }
    const open = stack.pop();
    if (open === undefined) calls.returnsOnly++;
    else ended(open.name, durationUs ?? open.insideUs, open.insideUs, stack.at(-1));
  }
  calls.open = [...stacks.values()].reduce((sum, { length }) => sum + length, 0);
  return calls;
}

const us = (value: number): string => `${value.toFixed(2)} us`;
const times = (count: number): string => (count === 1 ? 'once' : `${count} times`);
const OTHERS_SHOWN = 3;

/** What the calls show: faults and how long they took, the steps of our model in the order of their first call, and what the rest of the time went to. */
export function explainGraph(facts: readonly Fact[]): string[] {
  const graph = facts.filter((fact): fact is GraphFact => fact.kind === 'graph');
  if (graph.length === 0) return [];
  const { byFunction, faultsUs, returnsOnly, open } = callsOf(graph);
  const steps = [...byFunction].filter(([name]) => name in MODELLED);
  const others = [...byFunction].filter(([name]) => !(name in MODELLED));
  const otherCalls = others.reduce((sum, [, { calls }]) => sum + calls, 0);
  const otherUs = others.reduce((sum, [, { ownUs }]) => sum + ownUs, 0);
  const longest = others.toSorted(([, a], [, b]) => b.ownUs - a.ownUs).slice(0, OTHERS_SHOWN);
  return [
    faultsUs.length === 0
      ? `no whole call of ${FAULT}: no fault from beginning to end`
      : `${faultsUs.length === 1 ? 'one fault' : `${faultsUs.length} faults`} (${FAULT}), ${faultsUs.length === 1 ? us(faultsUs[0]!) : `${us(Math.min(...faultsUs))} to ${us(Math.max(...faultsUs))}`}`,
    ...(steps.length === 0 ? [] : ['steps of our model, by their first call:']),
    ...steps.map(
      ([name, { calls, us: whole, ownUs }]) =>
        `  ${name} ${times(calls)}, ${us(whole)}, ${us(ownUs)} of it its own: ${MODELLED[name]}`,
    ),
    ...(others.length === 0
      ? []
      : [
          `not modelled as steps of their own: ${others.length} ${others.length === 1 ? 'function' : 'functions'}, called ${times(otherCalls)}, ${us(otherUs)} their own; longest ${longest.map(([name, { ownUs }]) => `${name} ${us(ownUs)}`).join(', ')}`,
        ]),
    ...(returnsOnly === 0 ? [] : [`${returnsOnly} ${returnsOnly === 1 ? 'call' : 'calls'} began before the log`]),
    ...(open === 0
      ? []
      : [`${open} ${open === 1 ? 'call' : 'calls'} had not returned where the log ends, and time is not counted`]),
  ];
}
