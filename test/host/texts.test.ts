// What the host side reads and prints: names, the patch's pr_debug lines, variants, memory maps.
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { debugLine, enableDebug } from '#src/host/debug.js';
import { readLayout } from '#src/host/layout-file.js';
import { namedLocks, objectName } from '#src/host/names.js';
import { variantBits, variantNames } from '#src/host/variants.js';
import * as sites from '#src/kernel/abi/debug.js';
import * as kvm from '#src/kernel/abi/kvm.js';
import { LOCK_KVM, LOCK_SNP_LEAKED, SH_DEBUG_FLAGS } from '#src/kernel/abi/layout.js';
import * as mm from '#src/kernel/abi/mm.js';
import { bootHost, createGuest } from '../oracle/guest.js';

describe('variants', () => {
  it('are named by their number, in either case, or by the planted mistake', () => {
    expect(variantBits(['B05', 'b01', 'no-flush'])).toEqual([5, 1, 32]);
    expect(variantNames()).toContain('retry-forever');
  });

  it('as-posted is every mistake but the two that the patch itself fixes', () => {
    expect(variantBits(['as-posted']).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 13 }, (_, n) => n + 3));
  });

  it('are refused by name when unknown', () => {
    expect(() => variantBits(['B05', 'typo'])).toThrow("variants: 'typo' is unknown; known are as-posted, B01,");
  });
});

describe('pr_debug', () => {
  it("prints the three lines in the patch's words", () => {
    expect(debugLine(sites.DEBUG_RESTRICTEDMEM_UNBIND, [0, 0x1ff])).toBe(
      'restrictedmem_unbind: unregistering notifier, invalidating page offsets 0x0-0x1ff',
    );
    expect(debugLine(sites.DEBUG_INVALIDATE_BEGIN_SKIPPED, [3, 0x10, 0x1f, 0x80000])).toBe(
      'kvm_restrictedmem_invalidate_begin: Invalidation skipped, slot: 3, start: 0x10, end: 0x1f, restrictedmem.index: 0x80000',
    );
    expect(debugLine(sites.DEBUG_INVALIDATE_BEGIN, [6, 0x100, 0x1ff, 0x100, 0x100, 0x1ff])).toBe(
      'kvm_restrictedmem_invalidate_begin: slot: 6, start: 0x100, end: 0x1ff, restrictedmem.index: 0x100, gfn_start: 0x100, gfn_end: 0x1ff',
    );
  });

  it('is switched by globs of the function name, and says how many sites are on', () => {
    const k = bootHost();
    const flags = (): number[] => [...new Uint8Array(k.buffer, SH_DEBUG_FLAGS, sites.DEBUG_SITE_COUNT)];
    expect(enableDebug(k.words, 'kvm_restrictedmem_*')).toBe(2);
    expect(flags()).toEqual([0, 1, 1]);
    expect(enableDebug(k.words, 'restrictedmem_unbin?, nothing')).toBe(1);
    expect(flags()).toEqual([1, 0, 0]);
    expect(enableDebug(k.words, 'restrictedmem')).toBe(0);
    expect(flags()).toEqual([0, 0, 0]);
  });
});

describe('names in reports', () => {
  const guest = createGuest(bootHost());
  it('call an object by kind, number and member', () => {
    expect(objectName(guest.k, guest.vm)).toBe('vm0');
    expect(objectName(guest.k, guest.vm + kvm.KVM_MMU_LOCK)).toBe('vm0.mmu_lock');
    expect(objectName(guest.k, guest.vm + kvm.KVM_SLOTS_LOCK)).toBe('vm0.slots_lock');
    expect(objectName(guest.k, guest.vcpu)).toBe('vm0.vcpu0');
    expect(objectName(guest.k, guest.file)).toBe('file0');
  });

  it("call a file's locks by the part of the file they are in", () => {
    const rm = guest.k.x.restrictedmemOf(guest.file);
    const memfd = new DataView(guest.k.buffer).getUint32(rm + mm.RM_MEMFD, true);
    expect(objectName(guest.k, rm + mm.RM_LOCK)).toBe('file0.rm.lock');
    expect(objectName(guest.k, rm + mm.RM_BINDINGS)).toBe('file0.rm.bindings');
    expect(objectName(guest.k, memfd + mm.SHMEM_I_PAGES)).toBe('file0.memfd.i_pages');
    expect(objectName(guest.k, memfd + mm.SHMEM_I_SIZE)).toBe('file0.memfd.i_size');
    expect(namedLocks(guest.k)).toEqual(expect.arrayContaining([rm + mm.RM_LOCK, guest.vm + kvm.KVM_MMU_LOCK]));
  });

  it('forget the parts with the file', () => {
    const { k } = createGuest(bootHost());
    const file = k.x.sysCreateFile(0, 0, 0);
    const rm = k.x.restrictedmemOf(file) >>> 0;
    expect(objectName(k, rm)).toBe('file1.rm.lock');
    k.x.sysFilePut(file);
    expect(objectName(k, rm)).toBe(`0x${rm.toString(16)}`);
  });

  it.each([3, 63, 64, 509, 32_763])('call memslot %i by its id', (id) => {
    const { k, vm } = createGuest(bootHost());
    expect(k.x.sysSetMemslot(vm, 0, id, 0, 0x4000_0000, 0x1000, 0x7f00_4000_0000, 0, 0)).toBe(0);
    const slot = k.x.gfnToMemslot(vm, 0, 0x40000n) >>> 0;
    expect(objectName(k, slot)).toBe(`vm0.slot${id}`);
  });

  it('call a global lock by its own name, and anything unknown by its address', () => {
    expect(objectName(guest.k, LOCK_KVM)).toBe('kvm');
    expect(objectName(guest.k, LOCK_SNP_LEAKED)).toBe('snp_leaked');
    expect(objectName(guest.k, 0x40)).toBe('0x40');
  });
});

describe("the real host's memory map", () => {
  const map = readLayout(fileURLToPath(new URL('../../config/layouts/snp-host-512g.yaml', import.meta.url)));

  it('has the RAM that the machine logged, in whole pages', () => {
    expect(map.usable.reduce((sum, { start, end }) => sum + (end - start), 0) * 4096).toBe(547_187_208_192);
    expect(map.pfnCount).toBe(0x807f1ff);
  });

  it('has the RMP where the machine put it, outside of RAM', () => {
    expect(map.rmp).toEqual({ start: 0x7ffe800, end: 0x807f100 });
    for (const { start, end } of map.usable) {
      expect(end <= map.rmp!.start || start >= map.rmp!.end, `${start}-${end}`).toBe(true);
    }
  });
});
