// private_mem_conversions_test: vCPUs, each on its own thread, convert and punch their parts of one file's memory, in one memslot or split over several.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { PROTOCOL_GUEST_MEMFD, PROTOCOL_RFC_V8, SH_OOPS_COUNT } from '#src/kernel/abi/layout.js';
import { FALLOC_FL_KEEP_SIZE } from '#src/kernel/abi/mm.js';
import type { TestKernel } from '../harness.js';
import { CHUNK, explicitConversion, punchHoles, type Vcpus } from './conversions.js';
import { BASE, bootGuestKernel, deleteSlot, type Guest, newGuest, punch } from './guest.js';
import { HVA, PAGE, setRegion } from './support.js';

interface Layout {
  protocol: number;
  snp: boolean;
  vcpus: number;
  memslots: number;
}

const MODULE = 'kvm/conversions';

/** A guest whose memory, a chunk for each vCPU, is split evenly over the memslots. */
function newGuests({ protocol, snp, vcpus, memslots }: Layout): { k: TestKernel; g: Guest; arg: Vcpus } {
  const k = bootGuestKernel({ protocol, perturbMeanPoints: 200, perturbNs: 2000 });
  const pages = vcpus * CHUNK;
  const g = newGuest(k, { snp, pages, isPrivate: false });
  expect(deleteSlot(g)).toBe(0);
  const size = (BigInt(pages) * PAGE) / BigInt(memslots);
  for (let n = 0; n < memslots; n++) {
    const offset = BigInt(n) * size;
    const place = { id: 10 + n, gpa: BigInt(BASE) * PAGE + offset, size, hva: HVA + offset };
    expect(setRegion(k, g.kvm, { ...place, flags: abi.KVM_MEM_PRIVATE, file: g.file, offset })).toBe(0);
  }
  const others = Array.from({ length: vcpus - 1 }, () => k.x.vcpuCreate(g.kvm) >>> 0);
  return { k, g, arg: { kvm: g.kvm, file: g.file, vcpus: [g.vcpu, ...others] } };
}

describe.each([
  { name: 'rfc-v8', protocol: PROTOCOL_RFC_V8, snp: false, vcpus: 1, memslots: 1 },
  { name: 'rfc-v8', protocol: PROTOCOL_RFC_V8, snp: true, vcpus: 1, memslots: 1 },
  { name: 'rfc-v8', protocol: PROTOCOL_RFC_V8, snp: false, vcpus: 3, memslots: 2 },
  { name: 'rfc-v8', protocol: PROTOCOL_RFC_V8, snp: true, vcpus: 2, memslots: 8 },
  { name: 'guest-memfd', protocol: PROTOCOL_GUEST_MEMFD, snp: false, vcpus: 1, memslots: 4 },
  { name: 'guest-memfd', protocol: PROTOCOL_GUEST_MEMFD, snp: true, vcpus: 3, memslots: 6 },
])('$vcpus vCPUs, $memslots memslots, $name, SNP: $snp', (layout) => {
  it.each([false, true])('explicit conversion, pages allocated and punched along: %s', async (fallocate) => {
    const { k, g, arg } = newGuests(layout);
    await k.threadsOf(layout.vcpus, MODULE, explicitConversion, { ...arg, fallocate });
    expect(k.x.restrictedmemPages(g.file)).toBe(0n);
    expect([k.x.sysAudit(), k.u32(SH_OOPS_COUNT)]).toEqual([0, 0]);
  });

  it.each([false, true])('a punched hole reads as zeroes; only the range was written before: %s', async (precise) => {
    const { k, g, arg } = newGuests(layout);
    await k.threadsOf(layout.vcpus, MODULE, punchHoles, { ...arg, precise });
    expect(k.x.sysAudit()).toBe(0);
    k.x.destroyVm(g.kvm);
    // The file outlives the guest.
    const pages = layout.vcpus * CHUNK;
    expect(punch(g, 0, pages)).toBe(0);
    expect(k.x.restrictedmemFallocate(g.file, FALLOC_FL_KEEP_SIZE, 0n, BigInt(pages) << 12n)).toBe(0);
    expect(k.x.restrictedmemPages(g.file)).toBe(BigInt(pages));
  });
});
