// A vCPU's TLB: what it holds, how it forgets, and how an audit reads it.
import { beforeEach, describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/vcpu.js';
import type { TestKernel } from '../harness.js';
import { bootGuestKernel, tlbEntries } from './guest.js';
import { newVm } from './support.js';

const VALID = 1n << 35n;
const WRITABLE = 1n << 32n;

let k: TestKernel;
let vcpu: number;
beforeEach(() => {
  k ??= bootGuestKernel();
  vcpu = k.x.vcpuCreate(newVm(k)) >>> 0;
});

const fill = (gfn: number, isPrivate: boolean, pfn: number, level = 1, flags = 0n): bigint =>
  k.x.tlbFill(vcpu, BigInt(gfn), isPrivate ? 1 : 0, pfn, level, flags);
const look = (gfn: number, isPrivate: boolean): bigint => k.x.tlbLookup(vcpu, BigInt(gfn), isPrivate ? 1 : 0);

describe('TLB', () => {
  it('misses when empty, also for gfn 0', () => {
    expect(look(0, false)).toBe(0n);
    expect(look(0, true)).toBe(0n);
  });

  it('keeps private and shared translations of one gfn apart', () => {
    fill(7, true, 70);
    expect(look(7, true)).toBe(VALID | 70n);
    expect(look(7, false)).toBe(0n);
  });

  it('loses an entry only to one that falls on the same place', () => {
    fill(7, true, 70);
    fill(8, true, 80);
    fill(7 + abi.TLB_4K_ENTRIES, true, 90);
    expect(look(7, true)).toBe(0n);
    expect(look(8, true)).toBe(VALID | 80n);
  });

  it('translates every gfn of a 2M entry and none beside it', () => {
    const value = fill(1024, false, 512, 2);
    expect(look(1535, false)).toBe(value);
    expect(k.x.tlbPfn(value, 1535n)).toBe(1023);
    expect(look(1536, false)).toBe(0n);
    expect(look(1023, false)).toBe(0n);
  });

  it('forgets everything at a flush, without touching the entries', () => {
    fill(7, true, 70);
    fill(1024, false, 512, 2);
    k.x.tlbFlush(vcpu);
    expect(tlbEntries(k, vcpu)).toEqual([]);
    expect(look(7, true)).toBe(0n);
    expect(look(1024, false)).toBe(0n);
  });

  it('forgets the 2M pages of a ranged request and keeps the others', () => {
    for (const gfn of [511, 512, 700, 2048]) fill(gfn, true, gfn);
    fill(1024, false, 512, 2);
    fill(1536, false, 1024, 2);
    const request = (first: bigint, end: bigint): void => {
      k.setU64(vcpu + abi.VCPU_FLUSH_RANGE, first | (end << 32n));
      k.x.tlbFlushRange(vcpu);
    };
    request(1n, 3n);
    expect([511, 512, 700, 2048].map((gfn) => look(gfn, true) !== 0n)).toEqual([true, false, false, true]);
    expect([1024, 1536].map((gfn) => look(gfn, false) !== 0n)).toEqual([false, true]);
    expect(k.u64(vcpu + abi.VCPU_FLUSH_RANGE)).toBe(0n);
  });

  it('joins ranges that are requested before the vCPU runs again', () => {
    const kvm = k.u32(vcpu + abi.VCPU_KVM);
    k.x.kvmFlushRemoteTlbsRange(kvm, 1024n, 1025n);
    k.x.kvmFlushRemoteTlbsRange(kvm, 3000n, 4096n);
    expect(k.u64(vcpu + abi.VCPU_FLUSH_RANGE)).toBe(2n | (8n << 32n));
  });

  it('brings no old entry back when the generation wraps', () => {
    const tag = vcpu + abi.VCPU_TLB_TAG;
    k.setU64(tag, 1n << BigInt(abi.TLB_GENERATION_SHIFT));
    fill(7, true, 70);
    k.setU64(tag, BigInt(abi.TLB_GENERATION_MAX) << BigInt(abi.TLB_GENERATION_SHIFT));
    k.x.tlbFlush(vcpu);
    expect(k.u64(tag) >> BigInt(abi.TLB_GENERATION_SHIFT)).toBe(1n);
    expect(look(7, true)).toBe(0n);
  });

  it('shows an audit what it holds', () => {
    fill(7, true, 70, 1, WRITABLE);
    fill(1024, false, 512, 2);
    expect(tlbEntries(k, vcpu)).toEqual([
      { gfn: 7, pfn: 70, level: 1, isPrivate: true, writable: true },
      { gfn: 1024, pfn: 512, level: 2, isPrivate: false, writable: false },
    ]);
  });
});
