// guest_memfd: what bind refuses, what bind, unbind, hole punch, release and memory errors do, and when pages are assigned and given back.
import { describe, expect, it } from 'vitest';
import * as abi from '#src/kernel/abi/kvm.js';
import { HOOK_NONE, PROTOCOL_GUEST_MEMFD } from '#src/kernel/abi/layout.js';
import * as mm from '#src/kernel/abi/mm.js';
import { NO_PFN } from '#src/kernel/abi/layout.js';
import { PG_LEVEL_2M } from '#src/kernel/abi/snp.js';
import type { ShardOptions } from '#src/host/shard.js';
import type { TestKernel } from '../harness.js';
import {
  access,
  BASE,
  bootGuestKernel,
  createSlot,
  deleteSlot,
  EFAULT,
  type Guest,
  newGuest,
  PRIVATE,
  punch,
  put,
  READ,
  setPrivate,
  WRITE,
} from './guest.js';
import { counter, EINVAL, HVA, liveObjects, newVm, PAGE, setRegion, violationsOf } from './support.js';

const EBADF = -9;
const EHWPOISON = -133;
const KEEP = mm.FALLOC_FL_KEEP_SIZE;
const PUNCH = mm.FALLOC_FL_KEEP_SIZE | mm.FALLOC_FL_PUNCH_HOLE;

const boot = (options: Partial<ShardOptions> = {}): TestKernel =>
  bootGuestKernel({ protocol: PROTOCOL_GUEST_MEMFD, ...options });

/** KVM_CREATE_GUEST_MEMFD. */
const create = (k: TestKernel, kvm: number, bytes: bigint): number => k.x.kvmGmemCreate(kvm, bytes, 0, 0, -1, 0);

interface Place {
  id?: number;
  page?: number;
  pages?: number;
  offset?: bigint;
}

const bind = (
  k: TestKernel,
  kvm: number,
  file: number,
  { id = 0, page = 0, pages = 4, offset = 0n }: Place = {},
): number =>
  setRegion(k, kvm, {
    id,
    flags: abi.KVM_MEM_PRIVATE,
    gpa: BigInt(BASE + page) << 12n,
    size: BigInt(pages) << 12n,
    hva: HVA + (BigInt(page) << 12n),
    file,
    offset,
  });

/** Page of the file at `index`, NO_PFN for a hole; without a reference. */
function pageAt({ k, file }: Guest, index: number): number {
  const pfn = k.x.restrictedmemFindPage(file, BigInt(index)) >>> 0;
  if (pfn !== NO_PFN) k.x.putPage(pfn);
  return pfn;
}

const sequence = ({ k, kvm }: Guest): bigint => k.u64(kvm + abi.KVM_INVALIDATE_SEQ);

/** How often each result came. */
type Seen = Record<number, number>;

function expectSound(k: TestKernel): void {
  expect(k.x.sysAudit()).toBe(0);
}

describe('KVM_CREATE_GUEST_MEMFD', () => {
  it('pins its VM: the last reference to either destroys it', () => {
    const k = boot();
    const kvm = newVm(k, abi.KVM_TYPE_SNP);
    const id = k.u32(kvm + abi.KVM_ID);
    const file = create(k, kvm, 4n * PAGE) >>> 0;
    k.x.destroyVm(kvm);
    expect(k.x.kvmById(id) >>> 0).toBe(kvm);
    k.x.fputFile(file);
    expect(k.x.kvmById(id)).toBe(0);
  });
});

describe('binding a memslot', () => {
  it('refuses a descriptor that is none, before anything else', () => {
    const k = boot();
    expect(bind(k, newVm(k), 4096, { offset: 4096n * 99n })).toBe(EBADF);
  });

  it("refuses another VM's file, also one that became that VM's by being bound first", () => {
    const k = boot();
    const [mine, other] = [newVm(k), newVm(k)];
    const file = create(k, mine, 4n * PAGE) >>> 0;
    expect(bind(k, other, file)).toBe(EINVAL);
    expect(bind(k, mine, file)).toBe(0);
    const unclaimed = k.x.memfdRestricted(0, 0, -1, 0) >>> 0;
    k.x.restrictedmemSetattr(unclaimed, 4n * PAGE);
    expect(bind(k, other, unclaimed, { pages: 2 })).toBe(0);
    expect(bind(k, mine, unclaimed, { id: 1, page: 8, pages: 2, offset: 2n * PAGE })).toBe(EINVAL);
  });

  it('refuses an unaligned or negative offset, and a memslot beyond the end of the file', () => {
    const k = boot();
    const kvm = newVm(k);
    const file = create(k, kvm, 4n * PAGE) >>> 0;
    expect(bind(k, kvm, file, { pages: 2, offset: 512n })).toBe(EINVAL);
    expect(bind(k, kvm, file, { pages: 2, offset: 1n << 63n })).toBe(EINVAL);
    expect(bind(k, kvm, file, { pages: 2, offset: 3n * PAGE })).toBe(EINVAL);
    expect(bind(k, kvm, file, { pages: 2, offset: 2n * PAGE })).toBe(0);
  });

  it('refuses a range of the file that is bound, and leaves that binding alone', () => {
    const k = boot();
    const kvm = newVm(k);
    const file = create(k, kvm, 8n * PAGE) >>> 0;
    expect(bind(k, kvm, file, { pages: 4 })).toBe(0);
    const bound = k.x.restrictedmemBinding(file, 3n);
    expect(bind(k, kvm, file, { id: 1, page: 16, pages: 4, offset: 3n * PAGE })).toBe(EINVAL);
    expect(k.x.restrictedmemBinding(file, 3n)).toBe(bound);
    expect(bind(k, kvm, file, { id: 1, page: 16, pages: 4, offset: 4n * PAGE })).toBe(0);
  });

  it('does not keep the file: closed, its memslots fault with EFAULT, and can be deleted', () => {
    const k = boot();
    const g = newGuest(k, { pages: 4 });
    put(g, 1, 7);
    k.x.fputFile(g.file);
    expect(k.x.tdpLookup(g.kvm, BigInt(BASE + 1)) & 1n).toBe(0n);
    expect(access(g, 1, READ | PRIVATE).ret).toBe(EFAULT);
    expect(deleteSlot(g)).toBe(0);
    expect(k.x.allocatedPages()).toBe(0);
    expectSound(k);
  });
});

describe('faults', () => {
  it('assign the page as they get it, and the attribute update does not', () => {
    const k = boot();
    const g = newGuest(k, { pages: 4, isPrivate: false });
    expect(k.x.restrictedmemFallocate(g.file, KEEP, 0n, 4n * PAGE)).toBe(0);
    setPrivate(g, 0, 4, true);
    expect(k.x.rmpAssigned(pageAt(g, 1))).toBeFalsy();
    put(g, 1, 7);
    expect(k.x.rmpAssigned(pageAt(g, 1))).toBeTruthy();
    expect(k.x.rmpAssigned(pageAt(g, 2))).toBeFalsy();
    setPrivate(g, 0, 4, false);
    expect(k.x.rmpAssigned(pageAt(g, 1))).toBeTruthy();
    expectSound(k);
  });

  it('find what a guest wrote before its pages were shared and private again', () => {
    const g = newGuest(boot(), { pages: 4 });
    put(g, 1, 7);
    setPrivate(g, 0, 4, false);
    setPrivate(g, 0, 4, true);
    expect(access(g, 1, READ | PRIVATE)).toMatchObject({ ret: 0, value: 7 });
  });

  it('assign and map 2M where folio, memslot and alignment allow, and 4K beside a page that was punched out', () => {
    const k = boot();
    const g = newGuest(k, { pages: 512, huge: true });
    put(g, 5, 7);
    expect(k.x.rmpLevel(pageAt(g, 5))).toBe(PG_LEVEL_2M);
    expect(punch(g, 0, 1)).toBe(0);
    expect(pageAt(g, 0)).toBe(NO_PFN);
    expect(access(g, 5, READ | PRIVATE)).toMatchObject({ ret: 0, value: 7 });
    expect(access(g, 0, READ | PRIVATE)).toMatchObject({ ret: 0, value: 0 });
    expectSound(k);
  });
});

describe('hole punch', () => {
  it('begins and ends once for the file, however many memslots it meets', () => {
    const k = boot();
    const g = newGuest(k, { pages: 4 });
    deleteSlot(g);
    for (let n = 0; n < 4; n++)
      expect(bind(k, g.kvm, g.file, { id: n, page: n, pages: 1, offset: BigInt(n) * PAGE })).toBe(0);
    put(g, 0, 1);
    put(g, 3, 2);
    const before = sequence(g);
    expect(punch(g, 0, 4)).toBe(0);
    expect(sequence(g) - before).toBe(1n);
    for (const page of [0, 3]) expect(k.x.tdpLookup(g.kvm, BigInt(BASE + page)) & 1n).toBe(0n);
    expect(k.x.allocatedPages()).toBe(0);
    expectSound(k);
  });

  it('opens nothing where no memslot is bound, and frees the pages all the same', () => {
    const k = boot();
    const g = newGuest(k, { pages: 8 });
    put(g, 1, 7);
    deleteSlot(g);
    const before = sequence(g);
    expect(k.x.rmpAssigned(pageAt(g, 1))).toBeTruthy();
    expectSound(k);
    expect(punch(g, 0, 8)).toBe(0);
    expect(sequence(g)).toBe(before);
    expect(k.x.allocatedPages()).toBe(0);
  });

  it('allocates nothing: a hole stays one', () => {
    const k = boot();
    const g = newGuest(k, { pages: 64 });
    expect(punch(g, 0, 64)).toBe(0);
    expect(k.x.allocatedPages()).toBe(0);
  });

  it('frees pages that are still assigned when there is no platform hook, which the oracle sees', () => {
    const k = boot({ hook: HOOK_NONE });
    const g = newGuest(k, { pages: 4 });
    put(g, 1, 7);
    expect(violationsOf(() => punch(g, 0, 4))).toEqual([101]);
  });
});

describe('unbind', () => {
  it('leaves the pages in the file, assigned; bound again at the same gfns they have their contents', () => {
    const k = boot();
    const g = newGuest(k, { pages: 4 });
    put(g, 1, 7);
    const before = sequence(g);
    deleteSlot(g);
    expect(sequence(g)).toBe(before);
    expect(createSlot(g)).toBe(0);
    expect(access(g, 1, READ | PRIVATE)).toMatchObject({ ret: 0, value: 7 });
    expectSound(k);
  });
});

describe('pages bound at another gfn', () => {
  it('are refused while they are assigned where they were, and come once they have been punched out', () => {
    const k = boot();
    const g = newGuest(k, { pages: 8 });
    put(g, 1, 7);
    deleteSlot(g);
    expect(bind(k, g.kvm, g.file, { pages: 4, offset: PAGE })).toBe(0);
    expect(access(g, 0, READ | PRIVATE).ret).toBe(EINVAL);
    expect(k.x.sysAudit()).toBe(0);
    expect(punch(g, 1, 1)).toBe(0);
    expect(access(g, 0, READ | PRIVATE)).toMatchObject({ ret: 0, value: 0 });
    expectSound(k);
  });
});

describe('a memory error', () => {
  it('zaps the page, keeps it in the file, and gives EHWPOISON until it is punched out; it is never used again', () => {
    const k = boot();
    const g = newGuest(k, { pages: 4 });
    put(g, 1, 7);
    put(g, 2, 8);
    const pfn = pageAt(g, 1);
    const before = sequence(g);
    expect(k.x.sysMemoryFailure(pfn)).toBe(0);
    expect(sequence(g) - before).toBe(1n);
    expect(pageAt(g, 1)).toBe(pfn);
    expect(access(g, 1, WRITE | PRIVATE, 9).ret).toBe(EHWPOISON);
    expect(access(g, 2, READ | PRIVATE)).toMatchObject({ ret: 0, value: 8 });
    expect(punch(g, 1, 1)).toBe(0);
    put(g, 1, 9);
    expect(pageAt(g, 1)).not.toBe(pfn);
    expect(k.x.leakedPages()).toBe(1);
    expectSound(k);
  });

  it('in a 2M folio leaves the other pages, mapped 4K from then on', () => {
    const k = boot();
    const g = newGuest(k, { pages: 512, huge: true });
    put(g, 5, 7);
    expect(k.x.sysMemoryFailure(pageAt(g, 4))).toBe(0);
    expect(access(g, 4, READ | PRIVATE).ret).toBe(EHWPOISON);
    expect(access(g, 5, READ | PRIVATE)).toMatchObject({ ret: 0, value: 7 });
    k.x.fputFile(g.file);
    expect(k.x.leakedPages()).toBe(1);
    expectSound(k);
  });
});

describe('release', () => {
  it('runs when the last reference goes, with slots_lock and lock taken and left, and gives every page back', () => {
    const k = boot();
    const g = newGuest(k, { pages: 64 });
    for (let page = 0; page < 64; page += 9) put(g, page, page + 1);
    const flushes = counter(k, g.kvm, abi.KC_FLUSHES);
    k.x.fputFile(g.file);
    expect(counter(k, g.kvm, abi.KC_FLUSHES)).toBe(flushes + 1);
    expect(k.x.allocatedPages()).toBe(0);
    expect(k.x.lostPages()).toBe(0);
    expectSound(k);
  });

  it('destroys the VM with its memslots when that was only waiting for the file', () => {
    const k = boot();
    const before = liveObjects(k);
    const g = newGuest(k, { pages: 4 });
    put(g, 1, 7);
    k.x.destroyVm(g.kvm);
    expect(k.x.sysAudit()).toBe(0);
    k.x.fputFile(g.file);
    expect(k.x.allocatedPages()).toBe(0);
    expect(liveObjects(k)).toBe(before);
    expectSound(k);
  });
});

describe('threads', () => {
  it('fault, punch, rebind and fail pages at once, and what is left is sound', async () => {
    const k = boot();
    const g = newGuest(k, { pages: 64 });
    const vcpus = [g.vcpu, k.x.vcpuCreate(g.kvm) >>> 0];
    const { kvm, file } = g;
    const args = { kvm, file, vcpus, base: BASE, hva: Number(HVA), flags: WRITE | PRIVATE, KEEP, PUNCH, NO_PFN };
    const results = await k.threads(
      5,
      (kernel, index, a) => {
        const { x } = kernel;
        const seen: Record<number, number> = {};
        const note = (result: number): void => void (seen[result] = (seen[result] ?? 0) + 1);
        const slot = (bytes: number): void =>
          note(x.sysSetMemslot(a.kvm, 0, 0, 4, a.base * 4096, bytes, a.hva, a.file, 0));
        const failed = new Set<number>();
        // A vCPU goes on until it has got through so often: while the memslot is gone, it comes back at once.
        for (let n = 0; index < 2 ? seen[0] !== 400 && n < 1_000_000 : n < 400; n++) {
          const page = BigInt((n * 7 + index) % 64);
          if (index < 2) note(x.vcpuAccess(a.vcpus[index]!, BigInt(a.base) + page, a.flags, n));
          else if (index === 2) note(x.restrictedmemFallocate(a.file, a.PUNCH, page << 12n, 4096n));
          else if (n % 40 === 0 && index === 3) {
            slot(0);
            slot(64 * 4096);
          } else if (n % 40 === 0) {
            x.restrictedmemFallocate(a.file, a.KEEP, page << 12n, 4096n);
            const pfn = x.restrictedmemFindPage(a.file, page) >>> 0;
            if (pfn === a.NO_PFN) continue; // punched out again
            // A second error of the page would be counted, but take nothing more out of circulation.
            if (!failed.has(pfn)) note(x.sysMemoryFailure(pfn));
            failed.add(pfn);
            x.putPage(pfn);
          }
        }
        return seen;
      },
      args,
    );
    const [first, second, punches, binds, failures] = results as [Seen, Seen, Seen, Seen, Seen];
    for (const accesses of [first, second]) {
      // EFAULT: the memslot was gone; EHWPOISON: the page had failed and was still in the file.
      expect([0, EFAULT, EHWPOISON]).toEqual(expect.arrayContaining(Object.keys(accesses).map(Number)));
      expect(accesses[0]).toBe(400);
    }
    expect({ punches, binds }).toEqual({ punches: { 0: 400 }, binds: { 0: 20 } });
    expect(Object.keys(failures)).toEqual(['0']);
    expectSound(k);
    const errors = counter(k, g.kvm, abi.KC_RM_ERRORS);
    expect(errors).toBeGreaterThan(0);
    k.x.fputFile(g.file);
    expect(k.x.leakedPages()).toBe(errors);
    expect(k.x.allocatedPages()).toBe(0);
  });
});
