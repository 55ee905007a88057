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

function field(text: string, pattern: RegExp): string | undefined {
  return pattern.exec(text)?.[1];
}

export const memslotGrammar: Grammar<MemslotFact> = {
  name: 'QEMU trace kvm_set_user_memory',
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
      ...(size === 0 && before?.file !== undefined ? [`unbinds ${before.size / 4096} pages`] : []),
      ...(ret === 0 ? [] : [`refused with ${ret}`]),
    ];
    const at = size === 0 ? '' : ` at gpa 0x${gpa.toString(16)}, ${size / 4096} pages`;
    const bound = size === 0 || file === undefined ? '' : `, file ${file} page 0x${(offset / 4096).toString(16)}`;
    const kind = (flags & KVM_MEM_PRIVATE) !== 0 ? ' private' : '';
    return `slot ${slot} ${what}${kind}${at}${bound}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}`;
  });
}

/** The sequence as a document for `vms[].memslots` of a profile. `source` names where the log came from. */
export function memslotsDocument(name: string, source: string, facts: readonly MemslotFact[]): string {
  const sizes = new Map<number, number>();
  let unnamed = false;
  for (const { file, offset, size, flags } of facts) {
    const id = file ?? ((flags & KVM_MEM_PRIVATE) !== 0 ? 0 : undefined);
    if (id === undefined) continue;
    unnamed ||= file === undefined;
    sizes.set(id, Math.max(sizes.get(id) ?? 0, offset + size));
  }
  const number = (value: number): string => `0x${value.toString(16)}`;
  const steps = facts.map(({ slot, flags, gpa, size, hva, file, offset, ret }) => {
    const bound = file ?? ((flags & KVM_MEM_PRIVATE) !== 0 ? 0 : undefined);
    const binding = bound === undefined ? '' : `, file: ${bound}, offset: ${number(offset)}`;
    return `  - { slot: ${slot}, flags: ${number(flags)}, gpa: ${number(gpa)}, size: ${number(size)}, hva: ${number(hva)}${binding}, ret: ${ret} }`;
  });
  return [
    `# Memslots of a virtual machine monitor, step by step, imported from ${source}.`,
    ...(unnamed ? ['# The log names no private files: one stands for all of them.'] : []),
    `name: ${name}`,
    'files:',
    ...[...sizes].map(([id, size]) => `  - { id: ${id}, size: ${number(size)} }`),
    'steps:',
    ...steps,
    '',
  ].join('\n');
}
