// QEMU's trace of a TDX guest's launch: which pages the VMM copies in before the guest runs (KVM_TDX_INIT_MEM_REGION, TDX's counterpart of SNP_LAUNCH_UPDATE), and what the
// firmware is told to accept later. TDX itself is not modelled; the plan is: bytes copied in, and the rest made private on first use. Source: QEMU target/i386/kvm/tdx.c.
import { hex, type Fact, type Grammar } from './log.js';

export interface InitialMemoryFact extends Fact {
  kind: 'initial-memory';
  /** Pages [gfn, gfn + pages). */
  gfn: number;
  pages: number;
  measured: boolean;
}

export interface RamEntryFact extends Fact {
  kind: 'ram-entry';
  /** Bytes [start, end). */
  start: number;
  end: number;
  /** Accepted by the guest later; otherwise it was added by the launch. */
  accepted: boolean;
}

const MEASURED = 1;
const UNACCEPTED = 0;

export const initialMemoryGrammar: Grammar<InitialMemoryFact> = {
  name: 'QEMU trace kvm_tdx_init_mem_region',
  expected: '`kvm_tdx_init_mem_region type=<hex> attributes=<hex> source=<hex> gfn=<hex> nr_pages=<hex>`',
  resembles: /\bkvm_tdx_init_mem_region\b/,
  read(text, line) {
    const found =
      /\bkvm_tdx_init_mem_region:? type=0x[0-9a-f]+ attributes=(0x[0-9a-f]+) source=0x[0-9a-f]+ gfn=(0x[0-9a-f]+) nr_pages=(0x[0-9a-f]+)\b/i.exec(
        text,
      );
    if (found === null) return undefined;
    const [, attributes, gfn, pages] = found;
    return {
      kind: 'initial-memory',
      line,
      gfn: hex(gfn!),
      pages: hex(pages!),
      measured: (hex(attributes!) & MEASURED) !== 0,
    };
  },
};

export const ramEntryGrammar: Grammar<RamEntryFact> = {
  name: 'QEMU trace of TDX RAM entries',
  expected: '`tdx->ram_entries[<n>]: addr=<hex> len=<hex> type=<n>`',
  resembles: /\btdx->ram_entries\b/,
  read(text, line) {
    const found = /\btdx->ram_entries\[\d+\]: addr=(0x[0-9a-f]+) len=(0x[0-9a-f]+) type=(\d+)\b/i.exec(text);
    if (found === null) return undefined;
    const start = hex(found[1]!);
    return { kind: 'ram-entry', line, start, end: start + hex(found[2]!), accepted: Number(found[3]) === UNACCEPTED };
  },
};

/** What the guest's memory is before it runs. */
export function explainInitialMemory(facts: readonly Fact[]): string[] {
  const initial = facts.filter((fact): fact is InitialMemoryFact => fact.kind === 'initial-memory');
  const entries = facts.filter((fact): fact is RamEntryFact => fact.kind === 'ram-entry');
  const pagesOf = (accepted: boolean): number =>
    entries
      .filter((entry) => entry.accepted === accepted)
      .reduce((sum, { start, end }) => sum + (end - start) / 4096, 0);
  const total = initial.reduce((sum, { pages }) => sum + pages, 0);
  return [
    ...initial.map(
      ({ gfn, pages, measured }) =>
        `gfns [0x${gfn.toString(16)}, 0x${(gfn + pages).toString(16)}) are copied in before the guest runs, ${pages} pages${measured ? ', measured' : ''}`,
    ),
    ...(initial.length === 0 ? [] : [`${total} pages in all: as many LAUNCH_UPDATEs of an SNP guest`]),
    ...(entries.length === 0
      ? []
      : [`RAM entries: ${pagesOf(false)} pages added by the launch, ${pagesOf(true)} left for the guest to accept`]),
  ];
}
