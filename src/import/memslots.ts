// QEMU's trace of KVM_SET_USER_MEMORY_REGION, as a memslot sequence that a profile replays. Field names as they were in 2023 (restricted_fd), now
// (guest_memfd), and in older traces without a private file. Source: QEMU accel/kvm/trace-events.
import { KVM_MEM_PRIVATE } from '../kernel/abi/kvm.js';
import { hex, type Fact, type Grammar } from './log.js';

export interface MemslotFact extends Fact {
  kind: 'memslot';
  addressSpace: number;
  slot: number;
  flags: number;
  /** Bytes. Size 0: the slot is deleted. */
  gpa: number;
  size: number;
  hva: number;
  ret: number;
  /** The private file's descriptor, and the slot's offset in it in bytes. */
  file: number | undefined;
  offset: number;
}

const EVENT = /\bkvm_set_user_memory\b:?\s/;
const PAGE = 4096;

function field(text: string, pattern: RegExp): string | undefined {
  return pattern.exec(text)?.[1];
}

export const memslotGrammar: Grammar<MemslotFact> = {
  name: 'QEMU trace kvm_set_user_memory',
  expected:
    '`kvm_set_user_memory [AddrSpace#<n>] Slot#<n> flags=<hex> gpa=<hex> size=<hex> ua=<hex> [guest_memfd=<n> guest_memfd_offset=<hex>] ret=<n>`',
  resembles: /\bkvm_set_user_memory\b/,
  read(text, line) {
    if (!EVENT.test(text)) return undefined;
    const [gpa, size, hva] = ['gpa', 'size', 'ua'].map((name) =>
      field(text, new RegExp(`\\b${name}=(0x[0-9a-f]+)`, 'i')),
    );
    const slot = field(text, /\bslot#(\d+)/i);
    const flags = field(text, /\bflags=(0x[0-9a-f]+)/i);
    const ret = field(text, /\bret=(-?\d+)/);
    if (gpa === undefined || size === undefined || slot === undefined || flags === undefined || ret === undefined) {
      return undefined;
    }
    const file = field(text, /\b(?:restricted_fd|guest_memfd)=(-?\d+)/);
    return {
      kind: 'memslot',
      line,
      addressSpace: Number(field(text, /\baddrspace#(\d+)/i) ?? 0),
      slot: Number(slot),
      flags: hex(flags),
      gpa: hex(gpa),
      size: hex(size),
      hva: hva === undefined ? 0 : hex(hva),
      ret: Number(ret),
      file: file === undefined || Number(file) < 0 ? undefined : Number(file),
      offset: hex(field(text, /\b(?:restricted_offset|guest_memfd_offset)=(0x[0-9a-f]+)/i) ?? '0'),
    };
  },
};

/** What a sequence does, in our terms, one line each; and what is noteworthy about it. */
export function explainMemslots(facts: readonly MemslotFact[]): string[] {
  const live = new Map<number, MemslotFact>();
  return facts.map((fact) => {
    const { slot, size, gpa, file, offset, flags, ret } = fact;
    const before = live.get(slot);
    const what = size === 0 ? 'deleted' : before === undefined ? 'created' : 'changed';
    if (ret === 0 && size === 0) live.delete(slot);
    else if (ret === 0) live.set(slot, fact);
    const notes = [
      ...(size !== 0 && file !== undefined && offset % 0x200000 !== gpa % 0x200000
        ? ['file offset and gpa not aligned alike: no 2M pages']
        : []),
      ...(size === 0 && before?.file !== undefined ? [`unbinds ${before.size / PAGE} pages`] : []),
      ...(ret === 0 ? [] : [`refused with ${ret}`]),
    ];
    const at = size === 0 ? '' : ` at gpa 0x${gpa.toString(16)}, ${size / PAGE} pages`;
    const bound = size === 0 || file === undefined ? '' : `, file ${file} page 0x${(offset / PAGE).toString(16)}`;
    const kind = (flags & KVM_MEM_PRIVATE) !== 0 ? ' private' : '';
    return `slot ${slot} ${what}${kind}${at}${bound}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}`;
  });
}

/**
 * The file and offset behind each step. Where the log names no file, the host address tells: QEMU keeps a RAM block's private file beside its mapping, so a slot whose addresses lie
 * inside those of an earlier one shows the same file again, at the same distance.
 */
function backing(facts: readonly MemslotFact[]): {
  files: (number | undefined)[];
  offsets: number[];
  guessed: boolean;
} {
  const blocks: { start: number; end: number; file: number }[] = [];
  const offsets: number[] = [];
  let guessed = false;
  const files = facts.map(({ flags, file, offset, size, hva }) => {
    offsets.push(offset);
    if (file !== undefined) return file;
    const known = blocks.find(({ start, end }) => hva >= start && hva + size <= end && hva < end);
    if ((flags & KVM_MEM_PRIVATE) === 0) return size === 0 ? known?.file : undefined;
    guessed = true;
    if (known !== undefined) {
      offsets[offsets.length - 1] = hva - known.start;
      return known.file;
    }
    blocks.push({ start: hva, end: hva + size, file: blocks.length });
    return blocks.length - 1;
  });
  return { files, offsets, guessed };
}

const number = (value: number): string => `0x${value.toString(16)}`;

/** The sequence as a document for `vms[].memslots` of a profile. `source` names where the log came from. */
export function memslotsDocument(name: string, source: string, facts: readonly MemslotFact[]): string {
  const { files, offsets, guessed } = backing(facts);
  const sizes = new Map<number, number>();
  facts.forEach(({ size }, n) => {
    const id = files[n];
    if (id !== undefined) sizes.set(id, Math.max(sizes.get(id) ?? 0, offsets[n]! + size));
  });
  const steps = facts.map(({ slot, flags, gpa, size, hva, ret }, n) => {
    const binding = files[n] === undefined ? '' : `, file: ${files[n]}, offset: ${number(offsets[n]!)}`;
    return `  - { slot: ${slot}, flags: ${number(flags)}, gpa: ${number(gpa)}, size: ${number(size)}, hva: ${number(hva)}${binding}, ret: ${ret} }`;
  });
  return [
    `# Memslots of a virtual machine monitor, step by step, imported from ${source}.`,
    ...(guessed ? ['# The log names no private files: the host addresses tell which slots show the same memory.'] : []),
    `name: ${name}`,
    'files:',
    ...[...sizes].map(([id, size]) => `  - { id: ${id}, size: ${number(size)} }`),
    'steps:',
    ...steps,
    '',
  ].join('\n');
}

/** A profile that replays the sequence and then puts load on the guest: its memory, at most this host's. */
export function memslotsProfile(name: string, source: string, facts: readonly MemslotFact[]): string {
  const most = Math.max(...facts.map(({ gpa, size }) => gpa + size));
  const gib = Math.max(
    2,
    Math.ceil(facts.reduce((sum, { size, ret }) => sum + (ret === 0 ? size : 0), 0) / 2 ** 30) + 1,
  );
  const refused = facts.filter(({ ret }) => ret !== 0).length;
  return [
    `# A load on the guest of ${source}: its memslots are created as in the log, and what each call returned is compared with the log.`,
    ...(refused === 0
      ? []
      : [`# ${refused === 1 ? 'One of them was' : `${refused} of them were`} refused there, and is here, too.`]),
    `host:     { memory: ${gib}GiB }`,
    'vms:',
    `  - { name: guest, vcpus: 2, memslots: ./${name}.memslots.yaml } # guest addresses below ${number(most)}`,
    'actors:',
    '  - { kind: vcpu, threads: 2, touch: { distribution: zipf-shuffled, write: 0.3 } }',
    '  - { kind: invalidator, threads: 1, range: { pages: [1, 512] }, touch: { distribution: zipf-shuffled } }',
    '  - { kind: converter, threads: 1, range: { pages: [1, 64] }, touch: { distribution: zipf-shuffled } }',
    'duration: 10s',
    '',
  ].join('\n');
}
