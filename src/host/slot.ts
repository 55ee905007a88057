// A memslot as setMemslot left it: what it maps, and the ways to move and delete it.
import type { MemslotOptions } from './object-options.js';
import type { File, Vm } from './objects.js';

/** A memslot as vm.setMemslot() made it. KVM replaces slots and never changes them: move() gives another one. */
export class Slot {
  readonly id: number;
  readonly addressSpace: number;
  /** First guest frame, and number of pages. */
  readonly startGfn: number;
  readonly pageCount: number;
  /** KVM_MEM_*. */
  readonly flags: number;
  /** Host virtual address of the shared half. */
  readonly hva: number;
  /** The private half's file and its first page there; undefined for a shared slot. */
  readonly file: File | undefined;
  readonly startIndex: number;
  readonly #vm: Vm;

  constructor(vm: Vm, slot: Required<Omit<MemslotOptions, 'file'>> & { file: File | undefined }) {
    this.#vm = vm;
    this.id = slot.id;
    this.addressSpace = slot.addressSpace;
    this.startGfn = slot.startGfn;
    this.pageCount = slot.pageCount;
    this.flags = slot.flags;
    this.hva = slot.hva;
    this.file = slot.file;
    this.startIndex = slot.startIndex;
  }

  /** Moves the slot to another guest address; the slot as it is then. KVM refuses that for private slots (KernelError, EINVAL). */
  move(startGfn: number): Slot {
    const { id, pageCount, addressSpace, hva, flags, startIndex, file } = this;
    const where = { id, startGfn, pageCount, addressSpace, hva, flags, startIndex };
    return this.#vm.setMemslot(file === undefined ? where : { ...where, file });
  }

  /** Deletes the slot: unbinds its file, which invalidates what the guest has of it. */
  delete(): void {
    this.#vm.deleteMemslot(this.id, this.addressSpace);
  }
}
