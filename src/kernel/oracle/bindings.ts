// Invariant 9 of the audit: for each bound slot and offset of it, the file's binding is that slot; and slots themselves are in order.
import { KVM_ADDRESS_SPACES, KVM_ID, SLOTS_GENERATION, SLOT_BEGINS, SLOT_BOUND, SLOT_ENDS, SLOT_ID, SLOT_MAGIC, SLOT_MAGIC_VALUE, SLOT_NOTIFIER, SLOT_NPAGES, SLOT_RM_FILE, SLOT_RM_INDEX, SLOT_BASE_GFN } from '../abi/kvm';
import { OOPS_AUDIT_BINDING, OOPS_AUDIT_CALLBACKS, OOPS_AUDIT_GENERATION, OOPS_AUDIT_SLOT_FREED, ORACLE_BALANCE, ORACLE_CALLBACK } from '../abi/oops';
import { kvmMemslots } from '../kvm/memslots';
import { memslotAtOrAbove } from '../kvm/memslots-tree';
import { restrictedmemBinding } from '../mm/restrictedmem';
import { oopsRecord } from '../oops';
import { load32, load64 } from '../point';

/** Checks every slot of a VM in both address spaces. @context at rest. */
export function auditBindings(kvm: usize): void {
  for (let asId: u32 = 0; asId < <u32>KVM_ADDRESS_SPACES; asId++) {
    const slots = kvmMemslots(kvm, asId);
    if (load64(slots + SLOTS_GENERATION) >> 63 != 0) oopsRecord(ORACLE_CALLBACK, OOPS_AUDIT_GENERATION, load32(kvm + KVM_ID), asId, 0, 0, 0);
    let gfn: u64 = 0;
    for (let slot = memslotAtOrAbove(slots, gfn); slot != 0; slot = memslotAtOrAbove(slots, gfn)) {
      auditSlot(kvm, slot);
      gfn = load64(slot + SLOT_BASE_GFN) + load64(slot + SLOT_NPAGES);
    }
  }
}

function auditSlot(kvm: usize, slot: usize): void {
  const vm = load32(kvm + KVM_ID);
  const id = load32(slot + SLOT_ID);
  if (load32(slot + SLOT_MAGIC) != SLOT_MAGIC_VALUE) {
    oopsRecord(ORACLE_CALLBACK, OOPS_AUDIT_SLOT_FREED, vm, <f64>slot, 0, 0, 0);
    return;
  }
  if (load32(slot + SLOT_BEGINS) != load32(slot + SLOT_ENDS)) {
    oopsRecord(ORACLE_BALANCE, OOPS_AUDIT_CALLBACKS, vm, id, load32(slot + SLOT_BEGINS), load32(slot + SLOT_ENDS), 0);
  }
  if (load32(slot + SLOT_BOUND) == 0) return;
  const file: usize = load32(slot + SLOT_RM_FILE);
  const first = load64(slot + SLOT_RM_INDEX);
  const count = load64(slot + SLOT_NPAGES);
  // A binding is a handful of multi-index entries: its ends and a sample between them meet every piece boundary there can be.
  const stride = max<u64>(1, count / 64);
  for (let offset: u64 = 0; offset < count; offset += stride) checkBinding(vm, id, slot, file, first + offset);
  checkBinding(vm, id, slot, file, first + count - 1);
}

function checkBinding(vm: u32, id: u32, slot: usize, file: usize, offset: u64): void {
  const bound = restrictedmemBinding(file, offset);
  if (bound != slot + SLOT_NOTIFIER) oopsRecord(ORACLE_CALLBACK, OOPS_AUDIT_BINDING, vm, id, <f64>offset, <f64>bound, 0);
}
