// A hook of the host's own under guest_memfd, which has none of that name: called for the memslots that an invalidation meets, between its begin and end.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { HOOK_USER, PROTOCOL_GUEST_MEMFD } from '#src/kernel/abi/layout.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '#src/kernel/abi/mm.js';
import type { TestKernel } from '../harness.js';
import { BASE, type Guest, put, setPrivate } from './guest.js';
import { bootKvm, counter, newVm, PAGE, setRegion } from './support.js';

const punchFile = ({ k, file }: { k: TestKernel; file: number }, first: bigint, count: bigint): number =>
  k.x.restrictedmemFallocate(file, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, first * PAGE, count * PAGE);

describe("a hook of the host's own", () => {
  interface Call {
    args: number[];
    open: number;
    mmuLock: number;
    mapped: boolean[];
  }

  /** A guest with the file's pages [0, 4) and [4, 8) in two memslots, 8 gfns apart, all mapped; what each call of the hook gets and sees. */
  function withHook(): { k: TestKernel; kvm: number; file: number; calls: Call[] } {
    const calls: Call[] = [];
    const isMapped = (page: number): boolean => (k.x.tdpLookup(kvm, BigInt(BASE + page)) & 1n) !== 0n;
    const userHook = (...args: number[]): void => {
      const open = k.u32(kvm + abi.KVM_INVALIDATE_IN_PROGRESS);
      calls.push({ args, open, mmuLock: k.u32(kvm + abi.KVM_MMU_LOCK), mapped: [0, 3, 8, 11].map(isMapped) });
    };
    const k = bootKvm({ protocol: PROTOCOL_GUEST_MEMFD, hook: HOOK_USER }, { userHook });
    const kvm = newVm(k);
    const file = k.x.kvmGmemCreate(kvm, 8n * PAGE, 0, 0, -1, 0) >>> 0;
    const slot = { flags: abi.KVM_MEM_PRIVATE, size: 4n * PAGE, file };
    const gpa = BigInt(BASE) * PAGE;
    expect(setRegion(k, kvm, { ...slot, id: 3, gpa })).toBe(0);
    expect(setRegion(k, kvm, { ...slot, id: 5, gpa: gpa + 8n * PAGE, offset: 4n * PAGE })).toBe(0);
    const g: Guest = { k, kvm, file, vcpu: k.x.vcpuCreate(kvm) >>> 0, pages: 12 };
    setPrivate(g, 0, 12, true);
    for (const page of [0, 3, 8, 11]) put(g, page, 1 + page);
    return { k, kvm, file, calls };
  }

  /** A call for the memslot `id`, of gfns [first, end) of the area: behind the zap, outside mmu_lock, the section still open. */
  const call = (
    kvm: { k: TestKernel; kvm: number },
    id: number,
    [first, end]: [number, number],
    mapped: boolean[],
  ): Call => ({
    args: [kvm.k.u32(kvm.kvm + abi.KVM_ID), id, BASE + first, BASE + end],
    open: 1,
    mmuLock: 0,
    mapped,
  });

  it('is called for the part of each memslot that a hole punch meets, once all of them are zapped and before the end', () => {
    const g = withHook();
    expect(punchFile(g, 3n, 4n)).toBe(0);
    const mapped = [true, false, false, true];
    expect(g.calls).toEqual([call(g, 3, [3, 4], mapped), call(g, 5, [8, 11], mapped)]);
    expect(counter(g.k, g.kvm, abi.KC_HOOK_CALLS)).toBe(2);
    expect(g.k.u32(g.kvm + abi.KVM_INVALIDATE_IN_PROGRESS)).toBe(0);
    expect(g.k.x.sysAudit()).toBe(0);
  });

  it('is called for the page of a memory error', () => {
    const g = withHook();
    const pfn = g.k.x.restrictedmemFindPage(g.file, 7n) >>> 0;
    expect(g.k.x.sysMemoryFailure(pfn)).toBe(0);
    g.k.x.putPage(pfn);
    expect(g.calls).toEqual([call(g, 5, [11, 12], [true, true, true, false])]);
  });

  it('is not called where no memslot is bound, nor by a deletion: only the bindings go', () => {
    const g = withHook();
    expect(setRegion(g.k, g.kvm, { id: 3 })).toBe(0);
    expect(punchFile(g, 0n, 4n)).toBe(0);
    expect(g.calls).toEqual([]);
  });

  it('is called for every memslot when the file is released', () => {
    const g = withHook();
    g.k.x.fputFile(g.file);
    const mapped = [false, false, false, false];
    expect(g.calls).toEqual([call(g, 3, [0, 4], mapped), call(g, 5, [8, 12], mapped)]);
    expect(g.k.x.allocatedPages()).toBe(0);
  });
});
