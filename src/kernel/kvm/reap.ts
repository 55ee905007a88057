// A second secondary MMU on the VMM's memory, and the host's reaper, who may not sleep: a device driver keeps its lock while it works and refuses a
// range_start that would have to wait for it. kernel: mm/mmu_notifier.c mn_hlist_invalidate_range_start(), mm/oom_kill.c __oom_reap_task_mm().
import { EAGAIN } from '../abi/errno';
import { KVM_DEVICE_LOCK, KVM_DEVICE_USES } from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { V_B26 } from '../abi/variants';
import { atomicAdd32, variant } from '../point';
import { mutexLock, mutexTrylock, mutexUnlock } from '../sync/mutex';
import { kvmMmuNotifierInvalidateRangeEnd, kvmMmuNotifierInvalidateRangeStart } from './notifier';
import { discardIndices } from './shared';

/** The device driver does something under its lock, such as to map a page. @context sleeps; takes the driver's lock. */
export function kvmDeviceWork(kvm: usize): void {
  mutexLock(kvm + KVM_DEVICE_LOCK);
  atomicAdd32(kvm + KVM_DEVICE_USES, 1);
  mutexUnlock(kvm + KVM_DEVICE_LOCK);
}

/** The driver's range_start for a caller that may not sleep: its mappings go, or -EAGAIN. */
function deviceInvalidateRangeStart(kvm: usize): i32 {
  if (!mutexTrylock(kvm + KVM_DEVICE_LOCK)) return -EAGAIN;
  mutexUnlock(kvm + KVM_DEVICE_LOCK);
  return 0;
}

/**
 * Takes pages [start, start + pages) of the VMM away without sleeping for a notifier. Returns the pages freed, or -EAGAIN when a notifier refused: then those
 * that were asked before it are told of the end, for nobody else will (B26).
 * @context must not hold slots_lock; takes mmu_lock.
 */
export function kvmReapShared(kvm: usize, start: u64, pages: u64): i32 {
  const first = start << PAGE_SHIFT;
  const end = (start + pages) << PAGE_SHIFT;
  let ret = kvmMmuNotifierInvalidateRangeStart(kvm, first, end, false);
  if (ret != 0) return ret;
  ret = deviceInvalidateRangeStart(kvm);
  if (ret != 0) {
    if (!variant(V_B26)) kvmMmuNotifierInvalidateRangeEnd(kvm, first, end);
    return ret;
  }
  const freed = discardIndices(kvm, start, start + pages);
  kvmMmuNotifierInvalidateRangeEnd(kvm, first, end);
  return <i32>freed;
}
