// The audit: each of its checks reports the one state that is wrong for it, by code and values, and names it in words; and what it lets pass.
import { describe, expect, it } from 'vitest';
import { readViolations } from '#src/host/oops.js';
import { KVM_ASID } from '#src/kernel/abi/kvm.js';
import { PB_FAIL_CHANCE } from '#src/kernel/abi/perturb.js';
import { PG_LEVEL_4K } from '#src/kernel/abi/snp.js';
import { bindSlot, bootHost, createGuest, touch, type TestGuest } from './guest.js';
import { AUDITS } from './plants/audit.js';
import { PAGES, provePlant, titled } from './plants/plant.js';

function guestWithPages(): TestGuest {
  const guest = createGuest(bootHost());
  for (const gfn of PAGES) touch(guest, gfn);
  return guest;
}

/** What the audit says, each violation as oracle and message. */
function audited({ k }: TestGuest): string[] {
  k.x.sysAudit();
  return readViolations(k.buffer).map(({ oracle, message }) => `${oracle}: ${message}`);
}

describe('the audit', () => {
  it('has nothing to say of a sound state', () => {
    expect(audited(guestWithPages())).toEqual([]);
  });

  it.each(titled(AUDITS))('finds %s', (_, plant) => provePlant(plant, true));

  it('finds a page that the RMP gives to a guest at a place where it has another one', () => {
    const guest = guestWithPages();
    const { x } = guest.k;
    const [first, second] = [1, 2].map((gfn) => x.sysGfnToPfn(guest.vm, gfn)) as [number, number];
    const asid = guest.k.u32(guest.vm + KVM_ASID);
    x.rmpMakeShared(second, PG_LEVEL_4K);
    x.rmpMakePrivate(second, 4096n, PG_LEVEL_4K, asid, 0);
    const found = audited(guest);
    const [a, b] = [first, second].map((pfn) => pfn.toString(16));
    expect(found).toContain(
      `one-owner: pfn 0x${b} is assigned to gfn 1 of ASID ${asid}, whose guest has pfn 0x${a} there`,
    );
    expect(found).toHaveLength(2); // and gfn 2 is mapped to a page that is not its own
  });

  it('lets a vCPU be that has found no memory for a new root: it flushes before it runs again', async () => {
    const guest = guestWithPages();
    const { k, vcpu } = guest;
    expect(bindSlot(guest, 0)).toBe(0);
    // Task 0 is spared: another thread runs the vCPU, which gives its old root back and gets no new one.
    k.setU32(PB_FAIL_CHANCE, 0xffffffff);
    const touched = await k.threads(1, (kernel, _, [address]) => kernel.x.sysTouch(address!, 1, 3, 7), [vcpu]);
    k.setU32(PB_FAIL_CHANCE, 0);
    expect(touched).toEqual([-12]);
    expect(k.x.tlbHolds(vcpu, 1n, 1) >>> 0).toBe(1);
    expect(audited(guest)).toEqual([]);
    expect(bindSlot(guest)).toBe(0);
    expect(touch(guest, 1)).toBe(0);
  });
});
