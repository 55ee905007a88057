// A host's boot log: where the RMP table lies, the memory map, the ASIDs; as a layout file that a profile runs on. Sources: arch/x86/virt/svm/sev.c
// (RMP range), arch/x86/kernel/e820.c and kexec (maps), arch/x86/kvm/svm/sev.c (ASIDs). Logs name last bytes; here ends are exclusive.
import { hex, type Fact, type Grammar } from './log.js';

export interface RmpTableFact extends Fact {
  kind: 'rmp-table';
  /** Bytes [start, end). */
  start: number;
  end: number;
}

export interface MemoryFact extends Fact {
  kind: 'memory';
  /** Which map of the log: the firmware's, or the one handed to the next kernel. */
  map: 'bios' | 'kexec';
  start: number;
  end: number;
  type: string;
}

export interface AsidFact extends Fact {
  kind: 'asids';
  what: string;
  first: number;
  last: number;
}

const KEXEC_TYPES: Record<string, string> = { 1: 'usable', 2: 'reserved', 3: 'acpi-data', 4: 'acpi-nvs' };

export const rmpTableGrammar: Grammar<RmpTableFact> = {
  name: 'kernel log SEV-SNP: RMP table physical range',
  expected: '`RMP table physical range [0x<hex> - 0x<hex>]`',
  resembles: /\bRMP table physical\b/,
  read(text, line) {
    const found = /\bRMP table physical (?:address|range) \[(0x[0-9a-f]+) - (0x[0-9a-f]+)\]/i.exec(text);
    return found === null ? undefined : { kind: 'rmp-table', line, start: hex(found[1]!), end: hex(found[2]!) + 1 };
  },
};

export const memoryGrammar: Grammar<MemoryFact> = {
  name: 'kernel log memory map (e820)',
  expected: '`BIOS-e820: [mem 0x<hex>-0x<hex>] <type>`, or `<16 digits>-<16 digits> (<type>)`',
  resembles: /\be820: \[mem\b/,
  read(text, line) {
    const bios = /\be820: \[mem (0x[0-9a-f]+)-(0x[0-9a-f]+)\] (.+?)\s*$/i.exec(text);
    if (bios !== null) {
      const type = bios[3]!.toLowerCase().replaceAll(' ', '-');
      return { kind: 'memory', line, map: 'bios', start: hex(bios[1]!), end: hex(bios[2]!) + 1, type };
    }
    const kexec = /(?:^|\s)([0-9a-f]{16})-([0-9a-f]{16}) \((\d+)\)\s*$/i.exec(text);
    if (kexec === null) return undefined;
    const type = KEXEC_TYPES[kexec[3]!] ?? `type-${kexec[3]}`;
    return { kind: 'memory', line, map: 'kexec', start: hex(kexec[1]!), end: hex(kexec[2]!) + 1, type };
  },
};

export const asidGrammar: Grammar<AsidFact> = {
  name: 'kernel log ASID ranges',
  read(text, line) {
    const found = /\bkvm_amd: (SEV(?:-ES|-SNP)?) enabled \(ASIDs (\d+) - (\d+)\)/.exec(text);
    if (found === null) return undefined;
    return { kind: 'asids', line, what: found[1]!, first: Number(found[2]), last: Number(found[3]) };
  },
};

const GIB = 2 ** 30;
const BOOKKEEPING_BYTES = 16384;
const ENTRY_BYTES = 16;
const REGION = 2 ** 21;

/** What the table covers, and whether it shares a 2M region with ordinary memory: writes there by a 2M mapping fault. */
export function explainHost(tables: readonly RmpTableFact[], memory: readonly MemoryFact[]): string[] {
  const usable = memory.filter(({ map, type }) => map === 'bios' && type === 'usable');
  const bytes = usable.reduce((sum, { start, end }) => sum + end - start, 0);
  const lines = tables.flatMap(({ start, end }) => {
    const covered = ((end - start - BOOKKEEPING_BYTES) / ENTRY_BYTES) * 4096;
    const shared = usable.filter(
      (range) => range.start < Math.ceil(end / REGION) * REGION && range.end > end && end % REGION !== 0,
    );
    return [
      `RMP table at [0x${start.toString(16)}, 0x${end.toString(16)}): ${((end - start) / 2 ** 20).toFixed(0)} MiB, entries for ${(covered / GIB).toFixed(2)} GiB`,
      ...shared.map(
        (range) =>
          `usable memory [0x${range.start.toString(16)}, 0x${range.end.toString(16)}) shares a 2M region with the table's last pages: a write by a 2M mapping is an RMP fault`,
      ),
    ];
  });
  return bytes === 0
    ? lines
    : [...lines, `usable memory: ${bytes} bytes (${(bytes / GIB).toFixed(1)} GiB) in ${usable.length} ranges`];
}

/** The host as a layout file; undefined without a memory map. */
export function layoutDocument(
  name: string,
  source: string,
  tables: readonly RmpTableFact[],
  memory: readonly MemoryFact[],
): string | undefined {
  const bios = memory.filter(({ map }) => map === 'bios');
  const ranges = bios.length > 0 ? bios : memory;
  if (!ranges.some(({ type }) => type === 'usable')) return undefined;
  const number = (value: number): string => `0x${value.toString(16)}`;
  const rmp = tables[0];
  return [
    `# A host's memory map, imported from ${source}. Ends are exclusive.`,
    `name: ${name}`,
    'ranges:',
    ...ranges.map(({ start, end, type }) => `  - { start: ${number(start)}, end: ${number(end)}, type: ${type} }`),
    ...(rmp === undefined ? [] : [`rmp: { start: ${number(rmp.start)}, end: ${number(rmp.end)} }`]),
    '',
  ].join('\n');
}

/** A profile of a load on the host. */
export function layoutProfile(name: string, source: string): string {
  return [
    `# A load on the host of ${source}: its memory map and its RMP table.`,
    `host:     { layout: ./${name}.layout.yaml, partitions: 4 }`,
    'vms:',
    '  - { name: guest, count: 2, vcpus: 2, memory: 1GiB }',
    'actors:',
    '  - { kind: vcpu, threads: 4, touch: { distribution: zipf-shuffled, write: 0.3 } }',
    '  - { kind: invalidator, threads: 1, range: { pages: [1, 512] }, touch: { distribution: zipf-shuffled } }',
    '  - { kind: converter, threads: 1, range: { pages: [1, 64] }, touch: { distribution: zipf-shuffled } }',
    'duration: 10s',
    '',
  ].join('\n');
}
