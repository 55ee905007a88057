// Stacks in kernel logs: `Call Trace:` of an oops or a warning, and the three of a KASAN report (use, allocation, free), with KASAN's own lines. A report
// is matched with the bugs of the catalogue. Sources: arch/x86/kernel/dumpstack.c, mm/kasan/report.c, report_generic.c; source lines as syzbot adds them.
import { B20 } from '../catalogue/b20.js';
import { B40 } from '../catalogue/b40.js';
import { B53 } from '../catalogue/b53.js';
import type { Bug } from '../catalogue/bug.js';
import { type Fact, type Grammar } from './log.js';

export interface KasanFact extends Fact {
  kind: 'kasan';
  /** slab-use-after-free, slab-out-of-bounds, ... */
  fault: string;
  function: string;
  /** file:line, where the log says it. */
  source: string | undefined;
}

export interface KasanAccessFact extends Fact {
  kind: 'kasan-access';
  write: boolean;
  bytes: number;
  address: string;
  task: string;
}

export interface StackFact extends Fact {
  kind: 'stack';
  of: 'use' | 'allocated' | 'freed';
  task: string | undefined;
}

export interface FrameFact extends Fact {
  kind: 'frame';
  function: string;
  source: string | undefined;
}

/** A line that belongs to a report and carries nothing that we use: the machine, registers, brackets of a stack. */
export interface ReportFact extends Fact {
  kind: 'report';
}

/** The line without the kernel log's time, caller and indentation. */
const bare = (text: string): string => text.replace(/^\s*(?:\[[^\]]*\])*\s*/, '').trimEnd();

const PLACE = String.raw`(?:\+0x[0-9a-f]+\/0x[0-9a-f]+)?(?: \[[\w-]+\])?(?: (\S+:\d+))?`;
const KASAN = new RegExp(String.raw`^BUG: KASAN: ([\w-]+) in ([\w.]+)${PLACE}$`);
const FRAME = /^([\w.]+)\+0x[0-9a-f]+\/0x[0-9a-f]+(?: \[[\w-]+\])?(?: (\S+:\d+))?(?: \[inline\])?$/;
const INLINED = /^([\w.]+) (\S+\.[chS]:\d+) \[inline\]$/;

export const kasanGrammar: Grammar<KasanFact> = {
  name: 'KASAN report',
  expected: '`BUG: KASAN: <fault> in <function>+0x<offset>/0x<size> [file:line]`',
  resembles: /\bBUG: KASAN\b/,
  read(text, line) {
    const found = KASAN.exec(bare(text));
    return found === null
      ? undefined
      : { kind: 'kasan', line, fault: found[1]!, function: found[2]!, source: found[3] };
  },
};

export const kasanAccessGrammar: Grammar<KasanAccessFact> = {
  name: 'KASAN access',
  expected: '`Read|Write of size <bytes> at addr <hexadecimal> by task <name>/<pid>`',
  resembles: /\b(?:Read|Write) of size\b/,
  read(text, line) {
    const found = /^(Read|Write) of size (\d+) at addr ([0-9a-f]+) by task (.+\/\d+)$/.exec(bare(text));
    if (found === null) return undefined;
    const [, kind, bytes, address, task] = found;
    return {
      kind: 'kasan-access',
      line,
      write: kind === 'Write',
      bytes: Number(bytes),
      address: address!,
      task: task!,
    };
  },
};

export const stackGrammar: Grammar<StackFact> = {
  name: 'kernel log stack',
  expected: '`Call Trace:`, `Allocated by task <pid>:` or `Freed by task <pid>:`',
  resembles: /\b(?:Call Trace|Allocated by|Freed by)\b/,
  read(text, line) {
    const found = /^(?:(Call Trace):|(Allocated|Freed) by task (\d+)(?: on cpu \d+ at [\d.]+s)?:)$/.exec(bare(text));
    if (found === null) return undefined;
    const of = found[1] === undefined ? (found[2] === 'Freed' ? 'freed' : 'allocated') : 'use';
    return { kind: 'stack', line, of, task: found[3] };
  },
};

export const frameGrammar: Grammar<FrameFact | ReportFact> = {
  name: 'kernel log stack frame',
  expected: '`<function>+0x<offset>/0x<size> [module] [file:line]`, or `<function> <file:line> [inline]`',
  resembles: /^[\w.]+\+0x/,
  read(text, line) {
    const frame = bare(text);
    if (frame.startsWith('? ')) return FRAME.test(frame.slice(2)) ? { kind: 'report', line } : undefined;
    const found = FRAME.exec(frame) ?? INLINED.exec(frame);
    return found === null ? undefined : { kind: 'frame', line, function: found[1]!, source: found[2] };
  },
};

const ABOUT =
  /^(?:CPU: \d+ .*PID: \d+ Comm: |Hardware name: |<\/?TASK>$|<\/?IRQ>$|RIP: [0-9a-f]+:|Code: |R[A-Z0-9]{2}: |={10,}$|The buggy address |BUG: unable to handle (?:kernel )?(?:page fault|paging request)|#PF: (?:supervisor|user) (?:read|write|instruction)|PGD [0-9a-f]+ |Oops: |CR2: |Modules linked in:|---\[ end trace |which belongs to the cache |freed \d+-byte region |The buggy address belongs|page: refcount:|page_owner )/;

export const reportGrammar: Grammar<ReportFact> = {
  name: 'kernel log report, other lines',
  expected: 'a line of an oops or KASAN report',
  read: (text, line) => (ABOUT.test(bare(text)) ? { kind: 'report', line } : undefined),
};

/** A stack of a log with its frames. */
interface Stack {
  of: StackFact['of'];
  task: string | undefined;
  frames: FrameFact[];
}

/** Functions that report or that every allocation goes through: they say nothing about the bug. */
const MACHINERY =
  /^(?:__?)?(?:dump_stack|show_stack|print_|kasan_|poison_|slab_|kmalloc|kzalloc|kmem_cache|kfree|kvfree|__do_kmalloc|__kmalloc|___slab)/;
const FRAMES_SHOWN = 6;

/** Which report is which bug of the catalogue: who used the object, and who had freed it. */
const SIGNATURES: readonly { bug: Bug; use: RegExp; freed: RegExp }[] = [
  { bug: B20, use: /^kvm_gmem_release$/, freed: /^kvm_(?:set_memory_region|set_memslot|free_memslot)$/ },
  { bug: B40, use: /^(?:__)?kvm_io_bus_(?:read|write|write_cookie)$/, freed: /^kvm_io_bus_unregister_dev$/ },
  { bug: B53, use: /^sev_clflush_pages$/, freed: /^(?:svm_unregister_enc_region|sev_mem_enc_unregister_region)$/ },
];

/** What the stacks of a log show: who called, and for a KASAN report who used, allocated and freed the object, and which bug that is. */
export function explainStacks(facts: readonly Fact[]): string[] {
  const lines: string[] = [];
  let report: { kasan: KasanFact; access: KasanAccessFact | undefined; stacks: Stack[] } | undefined;
  let stacks: Stack[] = [];
  const close = (): void => {
    if (report === undefined) lines.push(...stacks.map((stack) => `called from ${callers(stack)}`));
    else lines.push(...explainReport({ ...report, stacks }));
    stacks = [];
  };
  for (const fact of facts as readonly (KasanFact | KasanAccessFact | StackFact | FrameFact)[]) {
    if (fact.kind === 'kasan') {
      close();
      report = { kasan: fact, access: undefined, stacks: [] };
    } else if (fact.kind === 'kasan-access' && report !== undefined) report.access = fact;
    else if (fact.kind === 'stack') stacks.push({ of: fact.of, task: fact.task, frames: [] });
    else if (fact.kind === 'frame') stacks.at(-1)?.frames.push(fact);
  }
  close();
  return lines;
}

const telling = ({ frames }: Stack): FrameFact[] => frames.filter(({ function: name }) => !MACHINERY.test(name));

function callers(stack: Stack): string {
  const names = telling(stack).map(({ function: name }) => name);
  const more = names.length > FRAMES_SHOWN ? ` < ${names.length - FRAMES_SHOWN} more` : '';
  return `${names.slice(0, FRAMES_SHOWN).join(' < ')}${more}`;
}

function explainReport({
  kasan,
  access,
  stacks,
}: {
  kasan: KasanFact;
  access: KasanAccessFact | undefined;
  stacks: readonly Stack[];
}): string[] {
  const where = `${kasan.function}${kasan.source === undefined ? '' : ` (${kasan.source})`}`;
  const how =
    access === undefined
      ? ''
      : `: ${access.write ? 'a write' : 'a read'} of ${access.bytes} bytes at 0x${hexOf(access.address)} by ${access.task}`;
  const bug = bugOf(stacks);
  return [
    `KASAN, ${kasan.fault} in ${where}${how}`,
    ...stacks.map((stack) => {
      const who = stack.of === 'use' ? 'used by' : `${stack.of} by task ${stack.task},`;
      return `  ${who} ${callers(stack)}`;
    }),
    bug === undefined
      ? '  no bug of the catalogue has these stacks'
      : `  this is ${bug.id}, ${bug.title}; see it happen: rmptorture repro ${bug.id}`,
  ];
}

/** Kernel addresses have 64 bits: too many for a number. */
const hexOf = (digits: string): string => digits.replace(/^0+(?=.)/, '');

function bugOf(stacks: readonly Stack[]): Bug | undefined {
  const has = (of: StackFact['of'], pattern: RegExp): boolean =>
    stacks.some((stack) => stack.of === of && telling(stack).some(({ function: name }) => pattern.test(name)));
  return SIGNATURES.find(({ use, freed }) => has('use', use) && has('freed', freed))?.bug;
}
