// The first time that a guest uses shadow paging (nested virtualization): every memslot needs reverse maps from then on. It happens in KVM_RUN, inside kvm->srcu, so
// slots_lock is out of question: slots_arch_lock exists for this. kernel: arch/x86/kvm/mmu/mmu.c mmu_first_shadow_root_alloc().
import { ENOMEM } from '../abi/errno';
import { KVM_ADDRESS_SPACES, KVM_SHADOW_ROOT, KVM_SLOTS_ARCH_LOCK, KVM_SRCU, NODE_LEFT_SLOT, NODE_RIGHT_SLOT, SLOTS_GFN_ROOT } from '../abi/kvm';
import { atomicLoad32, atomicStore32, load32 } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { kvmMemslots } from './memslots';
import { kvmAllocRmap } from './memslots-arch';
import { gfnNode } from './memslots-tree';

/** @context slots_arch_lock: the published sets do not change. */
function allocRmaps(slot: usize, node: usize): bool {
  if (slot == 0) return true;
  return kvmAllocRmap(slot) && allocRmaps(load32(slot + node + NODE_LEFT_SLOT), node) && allocRmaps(load32(slot + node + NODE_RIGHT_SLOT), node);
}

/**
 * Gives every memslot its reverse maps, once. 0, -ENOMEM.
 * @context a vCPU's thread; takes kvm->srcu, inside it slots_arch_lock, for which reason nobody may wait for a grace period with that held (B60). Sleeps.
 */
export function kvmFirstShadowRoot(kvm: usize): i32 {
  const idx = srcuReadLock(kvm + KVM_SRCU);
  let done = atomicLoad32(kvm + KVM_SHADOW_ROOT) != 0;
  if (!done) {
    mutexLock(kvm + KVM_SLOTS_ARCH_LOCK);
    done = true;
    for (let asId: u32 = 0; asId < <u32>KVM_ADDRESS_SPACES; asId++) {
      const slots = kvmMemslots(kvm, asId);
      done = allocRmaps(load32(slots + SLOTS_GFN_ROOT), gfnNode(slots)) && done;
    }
    if (done) atomicStore32(kvm + KVM_SHADOW_ROOT, 1);
    mutexUnlock(kvm + KVM_SLOTS_ARCH_LOCK);
  }
  srcuReadUnlock(kvm + KVM_SRCU, idx);
  return done ? 0 : -ENOMEM;
}
