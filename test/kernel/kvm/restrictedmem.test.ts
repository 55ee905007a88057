// KVM as a user of restrictedmem: which gfns an announced range means, what happens in which order, when the platform hook runs, and what the
// callback oracle catches.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { DEBUG_INVALIDATE_BEGIN, DEBUG_INVALIDATE_BEGIN_SKIPPED } from '#src/kernel/abi/debug.js';
import {
  HOOK_NONE,
  HOOK_USER,
  PROTOCOL_RFC_V7,
  SH_DEBUG_FLAGS,
  TASK_HELD_COUNT,
  TASK_RCU_CTR,
} from '#src/kernel/abi/layout.js';
import * as codes from '#src/kernel/abi/oops.js';
import { V_B05, V_PLANT_STALE_SLOT } from '#src/kernel/abi/variants.js';
import type { TestKernel } from '../harness.js';
import { bootKvm, counter, HVA, newFile, newVm, PAGE, setRegion, violationsOf } from './support.js';

const PRIVATE = abi.KVM_MEM_PRIVATE;
const PUNCH = 3; // KEEP_SIZE | PUNCH_HOLE

interface Bound {
  kvm: number;
  file: number;
  slot: number;
}

/** 32 pages of guest memory at gfn 0x100 on pages 16..47 of a file. */
function bound(k: TestKernel, kvm = newVm(k), file = newFile(k, 1n << 20n)): Bound {
  const region = { id: 4, flags: PRIVATE, gpa: 0x100n * PAGE, size: 32n * PAGE, hva: HVA, file, offset: 16n * PAGE };
  expect(setRegion(k, kvm, region)).toBe(0);
  return { kvm, file, slot: k.x.gfnToMemslot(kvm, 0, 0x100n) >>> 0 };
}

const punch = (k: TestKernel, file: number, first: bigint, pages: bigint): number =>
  k.x.restrictedmemFallocate(file, PUNCH, first * PAGE, pages * PAGE);

describe('file range to guest range', () => {
  it.each([
    [16n, 48n, [0x100n, 0x120n]],
    [0n, 1000n, [0x100n, 0x120n]],
    [20n, 21n, [0x104n, 0x105n]],
    [47n, 48n, [0x11fn, 0x120n]],
    [47n, 100n, [0x11fn, 0x120n]],
    [0n, 17n, [0x100n, 0x101n]],
    [0n, 16n, undefined],
    [48n, 100n, undefined],
    [20n, 20n, undefined],
    [0n, (1n << 64n) - 1n, [0x100n, 0x120n]],
  ])('pages [%i, %i) of a slot on [16, 48)', (start, end, expected) => {
    const k = bootKvm();
    const { slot } = bound(k);
    const out = k.alloc(16);
    const meets = k.x.restrictedmemGetGfnRange(slot, start, end, out) !== 0;
    expect(meets ? [k.u64(out), k.u64(out + 8)] : undefined).toEqual(expected);
  });

  it('get_pfn asks the file for the page at the slot’s offset', () => {
    const k = bootKvm();
    const { slot, file } = bound(k);
    const out = k.alloc(16);
    expect(k.x.kvmRestrictedmemGetPfn(slot, 0x105n, out, out + 8)).toBe(0);
    const pfn = k.u32(out);
    k.x.putPage(pfn);
    expect(k.x.restrictedmemFindPage(file, 21n) >>> 0).toBe(pfn);
    k.x.putPage(pfn);
  });
});

interface HookCall {
  args: number[];
  open: number;
  union: bigint[];
  mmuLock: number;
  held: number;
  rcu: number;
}

/** A shard whose hook is ours, with what each call sees. */
function withHook(options: Parameters<typeof bootKvm>[0] = {}): {
  k: TestKernel;
  calls: HookCall[];
  vm: { kvm: number };
} {
  const calls: HookCall[] = [];
  const vm = { kvm: 0 };
  const k: TestKernel = bootKvm(
    { hook: HOOK_USER, ...options },
    {
      userHook: (...args) => {
        calls.push({
          args,
          open: k.u32(vm.kvm + abi.KVM_INVALIDATE_IN_PROGRESS),
          union: [k.u64(vm.kvm + abi.KVM_INVALIDATE_START), k.u64(vm.kvm + abi.KVM_INVALIDATE_END)],
          mmuLock: k.u32(vm.kvm + abi.KVM_MMU_LOCK),
          held: k.u32(k.x.taskAddress(0) + TASK_HELD_COUNT),
          rcu: k.u32(k.x.taskAddress(0) + TASK_RCU_CTR),
        });
      },
    },
  );
  vm.kvm = newVm(k);
  return { k, calls, vm };
}

describe('invalidate_begin', () => {
  it('zaps first, then calls the hook outside mmu_lock, SRCU and RCU, the section still open', () => {
    const { k, calls, vm } = withHook();
    const { file } = bound(k, vm.kvm);
    // A stay in the kernel, whose sections stay published: the hook may wait for whoever waits for a grace period.
    k.x.rcuUserExit();
    expect(punch(k, file, 20n, 4n)).toBe(0);
    expect(calls).toEqual([
      {
        args: [k.u32(vm.kvm + abi.KVM_ID), 4, 0x104, 0x108],
        open: 1,
        union: [0x104n, 0x108n],
        mmuLock: 0,
        held: 1, // restrictedmem.lock
        rcu: 0,
      },
    ]);
    k.x.rcuUserEnter();
    expect(k.u32(vm.kvm + abi.KVM_INVALIDATE_IN_PROGRESS)).toBe(0);
    expect(k.u64(vm.kvm + abi.KVM_INVALIDATE_SEQ)).toBe(1n);
  });

  it('does nothing for a range beside the slot', () => {
    const { k, calls, vm } = withHook();
    const { file } = bound(k, vm.kvm);
    punch(k, file, 0n, 16n);
    punch(k, file, 48n, 8n);
    expect(calls).toEqual([]);
    expect(k.u64(vm.kvm + abi.KVM_INVALIDATE_SEQ)).toBe(0n);
  });

  it('unbinding calls the hook for the whole slot', () => {
    const { k, calls, vm } = withHook();
    bound(k, vm.kvm);
    expect(setRegion(k, vm.kvm, { id: 4 })).toBe(0);
    expect(calls.map((call) => call.args.slice(1))).toEqual([[4, 0x100, 0x120]]);
  });

  it('has no hook to call in RFC v7, nor on a platform without one (static_call_cond)', () => {
    for (const options of [{ protocol: PROTOCOL_RFC_V7 }, { hook: HOOK_NONE }]) {
      const { k, calls, vm } = withHook(options);
      const { file } = bound(k, vm.kvm);
      expect(punch(k, file, 20n, 4n)).toBe(0);
      expect([calls.length, counter(k, vm.kvm, abi.KC_HOOK_CALLS)]).toEqual([0, 0]);
      expect(counter(k, vm.kvm, abi.KC_RM_BEGINS)).toBe(1);
    }
  });

  it('with the inclusive end of the RFC (B05) protects one page less than the hook resets', () => {
    const { k, calls, vm } = withHook({ variants: [V_B05] });
    const { file } = bound(k, vm.kvm);
    expect(punch(k, file, 20n, 4n)).toBe(0);
    expect(calls[0]).toMatchObject({ union: [0x104n, 0x107n] });
    expect(calls[0]!.args.slice(2)).toEqual([0x104, 0x108]);
  });

  it('tells every slot on the range, each of its own VM, in its own gfns', () => {
    const { k, calls, vm } = withHook();
    const { file } = bound(k, vm.kvm);
    const other = newVm(k);
    const region = { id: 9, flags: PRIVATE, gpa: 0x800n * PAGE, size: 8n * PAGE, hva: HVA, file, offset: 48n * PAGE };
    expect(setRegion(k, other, region)).toBe(0);
    expect(punch(k, file, 44n, 8n)).toBe(0);
    expect(calls.map((call) => call.args)).toEqual([
      [k.u32(vm.kvm + abi.KVM_ID), 4, 0x11c, 0x120],
      [k.u32(other + abi.KVM_ID), 9, 0x800, 0x804],
    ]);
    for (const kvm of [vm.kvm, other]) expect(k.u64(kvm + abi.KVM_INVALIDATE_SEQ)).toBe(1n);
  });

  it('prints what the patch prints, when its site is switched on', () => {
    const lines: number[][] = [];
    const k = bootKvm({}, { prDebug: (...line) => void lines.push(line) });
    const { slot } = bound(k);
    const call = (start: bigint, end: bigint): void => {
      k.x.kvmRestrictedmemInvalidateBegin(slot, start, end);
      k.x.kvmRestrictedmemInvalidateEnd(slot, start, end);
    };
    call(20n, 22n);
    expect(lines).toEqual([]);
    const flags = new Uint8Array(k.buffer);
    flags[SH_DEBUG_FLAGS + DEBUG_INVALIDATE_BEGIN] = 1;
    flags[SH_DEBUG_FLAGS + DEBUG_INVALIDATE_BEGIN_SKIPPED] = 1;
    call(20n, 22n);
    call(60n, 70n);
    expect(lines).toEqual([
      [DEBUG_INVALIDATE_BEGIN, 4, 20, 21, 16, 0x104, 0x105],
      [DEBUG_INVALIDATE_BEGIN_SKIPPED, 4, 60, 69, 16, 0, 0],
    ]);
  });

  it('a memory error counts as one SIGBUS of the VM', () => {
    const k = bootKvm();
    const { kvm, slot } = bound(k);
    const out = k.alloc(16);
    k.x.kvmRestrictedmemGetPfn(slot, 0x110n, out, out + 8);
    expect(k.x.restrictedmemErrorPage(k.u32(out))).toBe(0);
    k.x.putPage(k.u32(out));
    expect(counter(k, kvm, abi.KC_RM_ERRORS)).toBe(1);
  });
});

describe('the callback oracle', () => {
  it('a slot that was freed without unbind (planted) is met by the next hole punch', () => {
    const k = bootKvm({ variants: [V_PLANT_STALE_SLOT] });
    const { kvm, file } = bound(k);
    expect(setRegion(k, kvm, { id: 4 })).toBe(0);
    expect(violationsOf(() => punch(k, file, 20n, 1n))).toEqual([codes.OOPS_CALLBACK_FREED_SLOT]);
  });

  it.each<[string, (k: TestKernel, b: Bound) => void, number]>([
    ['an unbound slot', (k, { slot }) => k.setU32(slot + abi.SLOT_BOUND, 0), codes.OOPS_CALLBACK_UNBOUND_SLOT],
    [
      'a slot being deleted',
      (k, { slot }) => k.setU32(slot + abi.SLOT_FLAGS, PRIVATE | abi.KVM_MEMSLOT_INVALID),
      codes.OOPS_CALLBACK_INVALID_SLOT,
    ],
    ['a slot of a VM that is gone', (k, { kvm }) => k.setU32(kvm + abi.KVM_MAGIC, 0), codes.OOPS_CALLBACK_FREED_SLOT],
  ])('%s', (_, spoil, code) => {
    const k = bootKvm();
    const b = bound(k);
    spoil(k, b);
    expect(violationsOf(() => punch(k, b.file, 20n, 1n))).toEqual([code]);
  });

  it('a begin whose end never came shows when the slot is unbound', () => {
    const k = bootKvm();
    const { kvm, slot } = bound(k);
    k.x.kvmRestrictedmemInvalidateBegin(slot, 20n, 21n);
    expect(violationsOf(() => setRegion(k, kvm, { id: 4 }))).toEqual([codes.OOPS_CALLBACK_UNBALANCED]);
  });
});

describe('on real threads', () => {
  it('hole punches on one file while its slots come and go: begins and ends balance for every slot', async () => {
    const k = bootKvm({ perturbMeanPoints: 300, perturbNs: 20_000 });
    const kvm = newVm(k);
    const file = newFile(k, 1n << 20n);
    const rounds = 100;
    const arg = { kvm, file, rounds, regions: k.alloc(2 * abi.REGION_ARG_SIZE), abi: { ...abi } };
    const done = await k.threads(
      4,
      (t, index, { kvm: vm, file: fd, rounds: n, regions, abi: a }) => {
        let ok = 0;
        for (let round = 0; round < n; round++) {
          if (index < 2) {
            const first = BigInt((round * 5 + index * 17) % 40);
            if (t.x.restrictedmemFallocate(fd, 3, first * 4096n, 9n * 4096n) === 0) ok++;
          } else {
            const region = regions + (index - 2) * a.REGION_ARG_SIZE;
            t.setU32(region + a.REGION_SLOT, index);
            t.setU32(region + a.REGION_FLAGS, a.KVM_MEM_PRIVATE);
            t.setU32(region + a.REGION_RESTRICTED_FD, fd);
            t.setU64(region + a.REGION_RESTRICTED_OFFSET, BigInt(index - 2) * 24n * 4096n);
            t.setU64(region + a.REGION_GPA, BigInt(index) << 24n);
            t.setU64(region + a.REGION_USERSPACE_ADDR, 0x7f00_0000_0000n + (BigInt(index) << 24n));
            t.setU64(region + a.REGION_MEMORY_SIZE, round % 2 === 0 ? 24n * 4096n : 0n);
            if (t.x.kvmSetMemoryRegion(vm, region) === 0) ok++;
          }
        }
        return ok;
      },
      arg,
    );
    expect(done).toEqual([rounds, rounds, rounds, rounds]);
    expect(k.u32(kvm + abi.KVM_INVALIDATE_IN_PROGRESS)).toBe(0);
    expect(counter(k, kvm, abi.KC_RM_BEGINS)).toBe(counter(k, kvm, abi.KC_RM_ENDS));
    // Each unbind alone is a section; punches add theirs.
    expect(counter(k, kvm, abi.KC_RM_BEGINS)).toBeGreaterThanOrEqual(rounds);
    k.x.destroyVm(kvm);
    k.x.fputFile(file);
  });
});
