// A trace as ftrace writes text (nop tracer), in the order of time: events and fields are the kernel's own where it has such an event (arch/x86/kvm/trace.h,
// include/trace/events/{kvm,lock}.h), others begin with `rmptorture_`. A CPU is a task's number, as everywhere here.
import * as layout from '../kernel/abi/layout.js';
import * as trace from '../kernel/abi/trace.js';
import type { TraceEvent, TraceLog, TraceThread } from '../torture/trace.js';
import { wordsOf } from './trace-words.js';

interface Line {
  ns: number;
  thread: TraceThread;
  text: string;
}

const HEADER = `# tracer: nop
#
#                                _-----=> irqs-off
#           TASK-PID     CPU#  |     TIMESTAMP  FUNCTION
#              | |         |   |         |         |
`;
const PID_BASE = 1000;
const LCB_SPIN = new Set<number>([layout.WAIT_SPIN, layout.WAIT_READ_LOCK, layout.WAIT_WRITE_LOCK]);
const LCB_READ = new Set<number>([layout.WAIT_READ_LOCK, layout.WAIT_RWSEM_READ]);
const LCB_WRITE = new Set<number>([layout.WAIT_WRITE_LOCK, layout.WAIT_RWSEM_WRITE]);

/** The lines of the file. */
export function* ftraceText(log: TraceLog): Generator<string> {
  yield HEADER;
  const lines = log.threads.flatMap((thread) => thread.events.flatMap((event) => linesOf(log, thread, event)));
  lines.sort((one, other) => one.ns - other.ns);
  for (const { ns, thread, text } of lines) {
    const task = `${thread.name.replaceAll(/\s/g, '_').slice(0, 15)}-${PID_BASE + thread.task}`;
    const cpu = String(thread.task).padStart(3, '0');
    const us = Math.max(0, Math.round((ns - log.startNs) / 1000));
    const time = `${Math.floor(us / 1e6)}.${String(us % 1e6).padStart(6, '0')}`;
    yield `${task.padStart(22)} [${cpu}] ..... ${time.padStart(12)}: ${text}\n`;
  }
}

const padded = (value: bigint, digits: number): string => value.toString(16).padStart(digits, '0');

/** The kernel's names of what is waited for. kernel: __print_flags of contention_begin. */
function lockFlags(kind: number): string {
  if (kind === layout.WAIT_MUTEX) return 'MUTEX';
  const flags = [
    LCB_SPIN.has(kind) ? 'SPIN' : '',
    LCB_READ.has(kind) ? 'READ' : '',
    LCB_WRITE.has(kind) ? 'WRITE' : '',
  ];
  return flags.filter((flag) => flag !== '').join('|');
}

const isLock = (kind: number): boolean => kind <= layout.WAIT_WRITE_LOCK;

function linesOf(log: TraceLog, thread: TraceThread, event: TraceEvent): Line[] {
  const { startNs, endNs, kind, a, b, c } = event;
  const line = (ns: number, text: string): Line => ({ ns, thread, text });
  if (kind === trace.EV_FAULT) {
    const address = padded(b << 12n, 16);
    return [
      line(startNs, `kvm_page_fault: vcpu ${a & 0xff} rip 0x0 address 0x${address} error_code 0x${padded(c, 1)}`),
    ];
  }
  if (kind === trace.EV_NOTIFIER_START)
    return [line(startNs, `kvm_unmap_hva_range: mmu notifier unmap range: 0x${padded(b, 14)} -- 0x${padded(c, 14)}`)];
  if (kind === trace.EV_WAIT && isLock(a)) {
    const lock = padded(b, 16);
    return [
      line(startNs, `contention_begin: ${lock} (flags=${lockFlags(a)})`),
      line(endNs, `contention_end: ${lock} (ret=0)`),
    ];
  }
  const { name, args } = wordsOf(event, (address) => log.nameOf(thread.shard, address));
  const fields = Object.entries(args).map(([key, value]) => `${key}=${String(value).replaceAll(' ', '_')}`);
  const suffix = { [trace.EV_INVALIDATE_BEGIN]: '_begin', [trace.EV_INVALIDATE_END]: '_end' }[kind] ?? '';
  const took = endNs > startNs ? [`ns=${Math.round(endNs - startNs)}`] : [];
  const own = `rmptorture_${name.replaceAll(/[^a-z0-9_]+/gi, '_')}${suffix}`;
  return [line(startNs, `${own}: ${[...fields, ...took].join(' ')}`)];
}
