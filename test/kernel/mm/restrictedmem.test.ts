// restrictedmem bindings: errors, and the order of what their notifiers are told; and each historical mistake behind its variant.
import { describe, expect, it } from 'vitest';
import { EINVAL } from '#src/kernel/abi/errno.js';
import { PROTOCOL_RFC_V7, SH_DEBUG_FLAGS } from '#src/kernel/abi/layout.js';
import { DEBUG_RESTRICTEDMEM_UNBIND } from '#src/kernel/abi/debug.js';
import * as mm from '#src/kernel/abi/mm.js';
import { V_B01, V_B03, V_B04, V_B10 } from '#src/kernel/abi/variants.js';
import { createShard } from '#src/host/shard.js';
import { view, type TestKernel } from '../harness.js';
import { bootWithMemory, expectConserved, NO_PFN } from './page-kit.js';
import { KEEP, PAGE, Rig, times, type Call } from './restrictedmem-kit.js';

describe('bind', () => {
  it('knows exclusive bindings only', () => {
    const rig = new Rig({}, 64);
    expect(rig.k.x.restrictedmemBind(rig.file, 0n, 64n, rig.notifier(), 0)).toBe(-EINVAL);
    expect(rig.binding(0)).toBe(-1);
  });

  it('refuses an empty range', () => {
    const rig = new Rig({}, 64);
    expect(rig.k.x.restrictedmemBind(rig.file, 5n, 5n, rig.notifier(), 1)).toBe(-EINVAL);
  });

  it('neighbours share no page; any overlap is -EINVAL and changes nothing', () => {
    const rig = new Rig({}, 0x1000);
    rig.bind(0x100, 0x200);
    rig.bind(0x200, 0x300);
    rig.bind(0x40, 0x100);
    for (const [start, end] of [
      [0x1ff, 0x201],
      [0, 0x41],
      [0x150, 0x151],
      [0, 0x1000],
      [0x2ff, 0x400],
    ]) {
      expect(rig.k.x.restrictedmemBind(rig.file, BigInt(start!), BigInt(end!), rig.notifier(), 1)).toBe(-EINVAL);
    }
    expect([0x3f, 0x40, 0xff, 0x100, 0x1ff, 0x200, 0x2ff, 0x300].map((at) => rig.binding(at))).toEqual([
      -1, 2, 2, 0, 0, 1, 1, -1,
    ]);
  });

  it('get_page needs a binding (-EINVAL), fills the hole, and leaves one reference to the file', () => {
    const rig = new Rig({}, 64);
    expect(rig.getPage(3).ret).toBe(-EINVAL);
    rig.bind(0, 32);
    const { ret, pfn, order } = rig.getPage(3);
    expect([ret, order, rig.pages]).toEqual([0, 0, 1]);
    expect(rig.k.x.pageRefcount(pfn)).toBe(1);
    expect(rig.getPage(32).ret).toBe(-EINVAL);
    expect(rig.k.x.restrictedmemFindPage(rig.file, 3n) >>> 0).toBe(pfn);
    expect(rig.k.x.restrictedmemFindPage(rig.file, 4n) >>> 0).toBe(NO_PFN);
  });

  it('get_page reports the order of the folio for a middle page too (B61)', () => {
    const k = bootWithMemory();
    const rig = new Rig({}, 0, k);
    const file = k.x.memfdRestricted(0, 0, -1, 1) >>> 0;
    k.x.restrictedmemSetattr(file, BigInt(1024 * PAGE));
    k.x.restrictedmemBind(file, 0n, 1024n, rig.notifier(), 1);
    const out = k.alloc(8);
    expect(k.x.restrictedmemGetPage(file, 0xa0n, out, out + 4)).toBe(0);
    expect([k.u32(out) % 512, k.u32(out + 4)]).toEqual([0xa0, 9]);
    k.x.putPage(k.u32(out));
  });
});

describe('pieces: an invalidation that covers a binding is told once per XArray piece', () => {
  it.each([
    [0x0, 0x7ffff, 1],
    [0x0, 0xbf, 1],
    [0xa0, 0xbf, 1],
    [0x100, 0x7ffff, 3],
    [0xe0, 0x7ffff, 4],
    [0x80000, 0x3fffff, 1],
    [0, 511, 1],
    [0, 512, 2],
    [1, 512, 3],
    [0, 63, 1],
    [1, 64, 2],
    [63, 64, 2],
  ])('slot [%i, %i] (inclusive) has %i', (first, last, pieces) => {
    const rig = new Rig();
    rig.bind(first, last + 1);
    expect(rig.punch(first, last + 1)).toBe(0);
    expect(rig.calls()).toEqual([
      ...times(pieces, 'start', 0, first, last + 1),
      ...times(pieces, 'end', 0, first, last + 1),
    ]);
    rig.unbind(first, last + 1);
    expect(rig.calls()).toEqual([
      ...times(pieces, 'start', 0, first, last + 1),
      ...times(pieces, 'end', 0, first, last + 1),
    ]);
    expect([first, last].map((at) => rig.binding(at))).toEqual([-1, -1]);
  });
});

describe('punch hole', () => {
  it('tells exactly the bindings that meet the range, all starts before the pages go and all ends after', () => {
    const rig = new Rig({}, 512);
    for (const start of [0, 64, 128, 192]) rig.bind(start, start + 64);
    rig.fallocate(KEEP, 0, 256 * PAGE);
    expect(rig.punch(64, 192)).toBe(0);
    expect(rig.calls()).toEqual([
      ...times(1, 'start', 1, 64, 192),
      ...times(1, 'start', 2, 64, 192),
      ...times(1, 'end', 1, 64, 192),
      ...times(1, 'end', 2, 64, 192),
    ]);
    expect(rig.pages).toBe(128);
  });

  it('the pages are still in the file while invalidate_start runs', async () => {
    const rig = new Rig({}, 64);
    const gate = rig.k.alloc(8);
    rig.bind(0, 64, gate);
    rig.fallocate(KEEP, 0, 64 * PAGE);
    const file = rig.file;
    const running = rig.k.threads(1, (k, _, f) => k.x.restrictedmemFallocate(f, 3, 0n, 262144n), file);
    while (rig.k.u32(gate + 4) === 0) await new Promise(setImmediate);
    expect(rig.pages).toBe(64);
    rig.k.setU32(gate, 1);
    expect(await running).toEqual([0]);
    expect(rig.pages).toBe(0);
  });

  it('several punches run at once, each with its own pairs; a bind waits for them', async () => {
    const rig = new Rig({}, 64);
    const gate = rig.k.alloc(8);
    rig.bind(0, 32, gate);
    const body = (k: TestKernel, index: number, arg: { file: number; gate: number; notifier: number }): number => {
      if (index < 2) return k.x.restrictedmemFallocate(arg.file, 3, 0n, 131072n);
      while (k.u32(arg.gate + 4) < 2);
      const opener = k.x.restrictedmemBinding(arg.file, 40n);
      k.setU32(arg.gate, 1);
      return opener + k.x.restrictedmemBind(arg.file, 32n, 64n, arg.notifier, 1);
    };
    expect(await rig.k.threads(3, body, { file: rig.file, gate, notifier: rig.notifier() })).toEqual([0, 0, 0]);
    const calls = rig.calls();
    expect(calls.filter(({ kind }) => kind === 'start')).toHaveLength(2);
    expect(calls.filter(({ kind }) => kind === 'end')).toHaveLength(2);
    expect(calls.every(({ who }) => who === 0)).toBe(true);
  });

  it('B04: an exclusive end used as inclusive tells the neighbour behind the hole, one page too far', () => {
    const rig = new Rig({ variants: [V_B04] }, 512);
    rig.bind(0, 64);
    rig.bind(64, 128);
    rig.punch(0, 64);
    expect(rig.calls().filter(({ who }) => who === 1)).toEqual([
      ...times(1, 'start', 1, 0, 65),
      ...times(1, 'end', 1, 0, 65),
    ]);
  });

  // The binder is let go by the first start; whether it gets in before the ends is what the lock decides.
  const bindDuringPunch = async (variants: number[]): Promise<Call[]> => {
    const rig = new Rig({ pfnCount: 65536, variants }, 60000);
    rig.bind(0, 64);
    rig.fallocate(KEEP, 0, 60000 * PAGE);
    const notifier = rig.notifier();
    const body = (k: TestKernel, index: number, arg: { file: number; log: number; notifier: number }): number => {
      if (index === 0) return k.x.restrictedmemFallocate(arg.file, 3, 0n, 60000n * 4096n);
      while (k.u32(arg.log) === 0);
      return k.x.restrictedmemBind(arg.file, 64n, 60000n, arg.notifier, 1);
    };
    expect(await rig.k.threads(2, body, { file: rig.file, log: rig.log, notifier })).toEqual([0, 0]);
    return rig.calls().filter(({ who }) => who === 1);
  };

  it('a notifier bound during a punch is told neither start nor end', async () => {
    expect(await bindDuringPunch([])).toEqual([]);
  });

  it('B03: without the lock over the whole punch it is told an end without a start', async () => {
    let ends = 0;
    // On a busy machine the binder may sleep through many a punch.
    for (let round = 0; round < 200 && ends === 0; round++) {
      const calls = await bindDuringPunch([V_B03]);
      expect(calls.some(({ kind }) => kind === 'start')).toBe(false);
      ends = calls.length;
    }
    expect(ends).toBeGreaterThan(0);
  });
});

describe('unbind', () => {
  it('tells every page of the range that it goes, then forgets the binding; pages stay in the file', () => {
    const rig = new Rig({}, 64);
    rig.bind(0, 64);
    rig.fallocate(KEEP, 0, 10 * PAGE);
    rig.unbind(0, 64);
    expect(rig.calls()).toEqual([...times(1, 'start', 0, 0, 64), ...times(1, 'end', 0, 0, 64)]);
    expect(rig.binding(5)).toBe(-1);
    expect(rig.pages).toBe(10);
  });

  it('looks at the range, not at the notifier it is given: all bindings in it are told', () => {
    const rig = new Rig({}, 128);
    rig.bind(0, 64);
    rig.bind(64, 128);
    rig.unbind(0, 128);
    expect(rig.calls().map(({ kind, who }) => `${kind}${who}`)).toEqual(['start0', 'start1', 'end0', 'end1']);
  });

  it('prints the first and the last page offset when the pr_debug site is on', () => {
    const lines: number[][] = [];
    const shard = createShard(
      { build: 'perturbed', pfnCount: 1024, maxTasks: 4, memoryPages: 1024 },
      { prDebug: (...args) => void lines.push(args) },
    );
    const rig = new Rig({}, 64, view(shard));
    rig.bind(0, 64);
    rig.unbind(0, 64);
    new Uint8Array(shard.buffer)[SH_DEBUG_FLAGS + DEBUG_RESTRICTEDMEM_UNBIND] = 1;
    rig.unbind(3, 17);
    expect(lines.map((line) => line.slice(0, 3))).toEqual([[DEBUG_RESTRICTEDMEM_UNBIND, 3, 16]]);
  });

  it.each([
    ['B01', { variants: [V_B01] }],
    ['protocol rfc-v7', { protocol: PROTOCOL_RFC_V7 }],
  ])('%s: nobody is told', (_, options) => {
    const rig = new Rig(options, 64);
    rig.bind(0, 64);
    rig.unbind(0, 64);
    expect(rig.calls()).toEqual([]);
    expect(rig.binding(0)).toBe(-1);
  });
});

describe('B10: an overlapping bind only warns and overwrites', () => {
  it('takes over the whole multi-index entry that it touches (QEMU SMRAM alias)', () => {
    const rig = new Rig({ variants: [V_B10] });
    rig.bind(0, 0x80000);
    rig.bind(0xa0, 0xc0);
    expect([0, 0x9f, 0xa0, 0xbf, 0xc0, 0x7ffff].map((at) => rig.binding(at))).toEqual([1, 1, 1, 1, 1, 1]);
    expect(rig.punch(0x5000, 0x5001)).toBe(0);
    expect(new Set(rig.calls().map(({ who }) => who))).toEqual(new Set([1]));
    rig.unbind(0xa0, 0xc0);
    expect(rig.getPage(0x5000).ret).toBe(-EINVAL);
  });

  it('leaves the front unbound when the entry found begins behind the start', () => {
    const rig = new Rig({ variants: [V_B10] });
    rig.bind(0x40, 0x80);
    rig.bind(0, 0x80);
    expect([0, 0x3f, 0x40, 0x7f].map((at) => rig.binding(at))).toEqual([-1, -1, 1, 1]);
  });
});

describe('real threads', () => {
  it('binders, punchers, faults and memory errors on one file: every notifier gets as many ends as starts, no page is lost', async () => {
    const rig = new Rig({ perturbMeanPoints: 100, perturbNs: 4000, partitions: 2 }, 1024);
    const { k } = rig;
    rig.k.setU32(rig.log + 4, 0);
    const logs = [0, 1].map(() => {
      const log = k.alloc(8 + 24 * 20000);
      k.setU32(log + 4, 20000);
      return log;
    });
    const notifiers = logs.map((log) => {
      const notifier = k.alloc(mm.NOTIFIER_SIZE);
      k.x.testNotifierInit(notifier, log, 0);
      return notifier;
    });
    const body = (kernel: TestKernel, index: number, arg: { file: number; notifiers: number[] }): number => {
      const out = kernel.alloc(8);
      const draw = (n: number): number => (kernel.x.randomU32() >>> 0) % n;
      for (let round = 0; round < 120; round++) {
        if (index < 2) {
          const start = BigInt(index * 512);
          if (kernel.x.restrictedmemBind(arg.file, start, start + 500n, arg.notifiers[index]!, 1) !== 0) return -1;
          for (let n = 0; n < 10; n++) {
            if (kernel.x.restrictedmemGetPage(arg.file, start + BigInt(draw(500)), out, 0) !== 0) return -2;
            if (n === 9) kernel.x.restrictedmemErrorPage(kernel.u32(out));
            kernel.x.putPage(kernel.u32(out));
          }
          kernel.x.restrictedmemUnbind(arg.file, start, start + 500n, arg.notifiers[index]!);
        } else {
          const first = draw(1000);
          if (kernel.x.restrictedmemFallocate(arg.file, 3, BigInt(first * 4096), BigInt((1 + draw(24)) * 4096)) !== 0)
            return -3;
        }
      }
      return 0;
    };
    expect(await k.threads(4, body, { file: rig.file, notifiers })).toEqual([0, 0, 0, 0]);
    for (const log of logs) {
      const count = k.u32(log);
      expect(count).toBeLessThan(20000);
      const kinds = Array.from({ length: count }, (_, n) => k.u32(log + 8 + n * 24));
      const starts = kinds.filter((kind) => kind === 1).length;
      expect(starts).toBeGreaterThan(0);
      expect(kinds.filter((kind) => kind === 2)).toHaveLength(starts);
    }
    expect(k.x.allocatedPages()).toBe(rig.pages);
    k.x.fputFile(rig.file);
    expect(k.x.allocatedPages()).toBe(0);
    expectConserved(k, 2);
  });
});
