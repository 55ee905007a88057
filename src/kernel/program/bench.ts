// Loops that bench/ times: whole protocol cycles, look-ups and single atomics, run from inside Wasm, where a call from JavaScript would cost more
// than the operation. Each returns a count or sum of what it did, which the benchmark checks: a fast wrong answer fails.
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, RM_BINDINGS } from '../abi/mm';
import { KVM_SRCU } from '../abi/kvm';
import { PAGE_SHIFT } from '../abi/layout';
import { PFERR_GUEST_ENC_BIT, PFERR_GUEST_FINAL_BIT, PFERR_USER_BIT, PFERR_WRITE_BIT } from '../abi/snp';
import { EV_FLUSH } from '../abi/trace';
import { VCPU_KVM, VCPU_MUTEX } from '../abi/vcpu';
import { kvmMmuPageFault } from '../kvm/fault';
import { RET_PF_FIXED } from '../kvm/tdp-map';
import { vcpuEnterGuest, vcpuExitGuest } from '../kvm/vcpu';
import { opLatency } from './opstat';
import { restrictedmemFallocate, restrictedmemOf } from '../mm/restrictedmem';
import { xaLoad } from '../mm/xarray';
import { OP_TOUCH, OPSTAT_SIZE, OS_SAMPLED, PR_STATS } from '../abi/program';
import { atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, load32, nowNs, store32, store64 } from '../point';
import { mutexLock, mutexUnlock } from '../sync/mutex';
import { rcuUserEnter, rcuUserExit } from '../sync/rcu';
import { srcuReadLock, srcuReadUnlock } from '../sync/srcu';
import { traceInstant } from '../trace';

/** #NPF of a private write to a page that is not mapped. */
const PRIVATE_WRITE: u64 =
  ((<u64>1) << PFERR_WRITE_BIT) | ((<u64>1) << PFERR_USER_BIT) | ((<u64>1) << PFERR_GUEST_FINAL_BIT) | ((<u64>1) << PFERR_GUEST_ENC_BIT);

/**
 * One KVM_RUN that serves the pending requests (the TLB flush of the invalidation before) and handles a private fault on each of the gfns
 * [gfn, gfn + pages). Returns how many it mapped.
 * @context takes vcpu->mutex, and for each fault kvm->srcu.
 */
export function benchFaults(vcpu: usize, gfn: u32, pages: u32): u32 {
  const srcu = <usize>load32(vcpu + VCPU_KVM) + KVM_SRCU;
  let mapped: u32 = 0;
  mutexLock(vcpu + VCPU_MUTEX);
  if (vcpuEnterGuest(vcpu) == 0) {
    vcpuExitGuest(vcpu);
    for (let n: u32 = 0; n < pages; n++) {
      const idx = srcuReadLock(srcu);
      if (kvmMmuPageFault(vcpu, <u64>(gfn + n), PRIVATE_WRITE) == RET_PF_FIXED) mapped++;
      srcuReadUnlock(srcu, idx);
    }
  }
  mutexUnlock(vcpu + VCPU_MUTEX);
  return mapped;
}

/**
 * `rounds` times: faults `pages` pages from `gfn` on and punches them out of the file again, whose offsets are the gfns. Returns the number of
 * pages mapped, or the errno of a punch.
 * @context as benchFaults and restrictedmemFallocate.
 */
export function benchCycles(vcpu: usize, file: usize, gfn: u32, pages: u32, rounds: u32): i32 {
  const offset = <i64>gfn << PAGE_SHIFT;
  const length = <i64>pages << PAGE_SHIFT;
  let mapped: u32 = 0;
  let error: i32 = 0;
  // As the threads of a run (runProgram).
  rcuUserExit();
  for (; rounds != 0 && error == 0; rounds--) {
    mapped += benchFaults(vcpu, gfn, pages);
    error = restrictedmemFallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length);
  }
  rcuUserEnter();
  return error != 0 ? error : <i32>mapped;
}

/**
 * Punches `count` ranges of `pages` pages out of the file, one behind the other from page 0 on. Returns 0 or the errno of a punch.
 * @context as restrictedmemFallocate.
 */
export function benchPunches(file: usize, pages: u32, count: u32): i32 {
  const length = <i64>pages << PAGE_SHIFT;
  for (let n: u32 = 0; n < count; n++) {
    const error = restrictedmemFallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, <i64>n * length, length);
    if (error != 0) return error;
  }
  return 0;
}

/**
 * Looks up the binding of `count` page offsets below `pages`, each `step` (below `pages`) behind the one before, round and round. Returns how many
 * were bound.
 */
export function benchBindingLookups(file: usize, pages: u32, step: u32, count: u32): u32 {
  const bindings = restrictedmemOf(file) + RM_BINDINGS;
  let found: u32 = 0;
  let offset: u32 = 0;
  for (; count != 0; count--) {
    if (xaLoad(bindings, offset) != 0) found++;
    offset += step;
    if (offset >= pages) offset -= pages;
  }
  return found;
}

/** `n` loads of *p. Returns their sum. */
export function benchAtomicLoads(p: usize, n: u32): u32 {
  let sum: u32 = 0;
  for (; n != 0; n--) sum += atomicLoad32(p);
  return sum;
}

/** `n` stores to *p. Returns what is there at the end. */
export function benchAtomicStores(p: usize, n: u32): u32 {
  for (; n != 0; n--) atomicStore32(p, n);
  return atomicLoad32(p);
}

/** One of two threads that hand *p, 0 at first, to one another, `rounds` times each; `turn` 0 begins, 1 is the other. Returns what was handed over at last. */
export function benchHandOver(p: usize, turn: u32, rounds: u32): u32 {
  for (let n = turn; n < 2 * rounds; n += 2) {
    while (atomicLoad32(p) != n);
    atomicStore32(p, n + 1);
  }
  return 2 * rounds;
}

/** Counts *p up from 0 by compare-and-exchange. */
export function benchAtomicExchanges(p: usize, n: u32): u32 {
  atomicStore32(p, 0);
  for (let at: u32 = 0; at < n; at++) atomicCas32(p, at, at + 1);
  return atomicLoad32(p);
}

/** Counts *p up from 0 by additions. */
export function benchAtomicAdds(p: usize, n: u32): u32 {
  atomicStore32(p, 0);
  for (; n != 0; n--) atomicAdd32(p, 1);
  return atomicLoad32(p);
}

/** Records `n` latencies of up to 16 ms in the statistics of the program. Returns how many were recorded. */
export function benchLatencies(program: usize, n: u32): u32 {
  const sampled = <usize>load32(program + PR_STATS) + <usize>OP_TOUCH * OPSTAT_SIZE + OS_SAMPLED;
  store64(sampled, 0);
  // Multiplying by an odd constant scatters the values over the buckets.
  for (; n != 0; n--) opLatency(program, OP_TOUCH, <f64>((n * 2654435761) >> 8));
  return load32(sampled);
}

/** Reads the clock `n` times. Returns how often it went backwards. */
export function benchClock(n: u32): u32 {
  let backwards: u32 = 0;
  let last = nowNs();
  for (; n != 0; n--) {
    const now = nowNs();
    if (now < last) backwards++;
    last = now;
  }
  return backwards;
}

/** Writes to a word `n` times, each time with a trace point behind it if `traced`. Returns what the word holds at last. @context the task is not traced. */
export function benchTracePoints(p: usize, n: u32, traced: bool): u32 {
  if (traced) {
    for (let at: u32 = 1; at <= n; at++) {
      store32(p, at);
      traceInstant(EV_FLUSH, at, 0, 0);
    }
  } else {
    for (let at: u32 = 1; at <= n; at++) store32(p, at);
  }
  return load32(p);
}
