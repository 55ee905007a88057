// The JavaScript version of the fault-and-invalidate cycle does what the engine does: the same protocol state after the same cycles.
import { describe, expect, it } from 'vitest';
import { cycles } from '#bench/javascript/cycle.js';
import { allocatedPages } from '#bench/javascript/pages.js';
import { assignedPages } from '#bench/javascript/rmp.js';
import { protocolState } from '#bench/javascript/vm.js';
import { bootShard, closeShard, createGuest } from '#bench/machine.js';
import * as kvm from '#src/kernel/abi/kvm.js';
import { VCPU_COUNT_MAPPED_4K } from '#src/kernel/abi/vcpu.js';

describe('the JavaScript cycle', () => {
  it('opens, closes, flushes and maps as often as the engine, and leaves as little behind', () => {
    const shard = bootShard(4096);
    const guest = createGuest(shard, 2048);
    const low = (address: number): number => shard.words[address / 4]!;
    const engine = (): object => ({
      inProgress: low(guest.kvm + kvm.KVM_INVALIDATE_IN_PROGRESS),
      seq: low(guest.kvm + kvm.KVM_INVALIDATE_SEQ),
      begins: low(guest.kvm + kvm.KVM_COUNTERS + kvm.KC_BEGINS * 4),
      ends: low(guest.kvm + kvm.KVM_COUNTERS + kvm.KC_ENDS * 4),
      mapped: low(guest.vcpu + VCPU_COUNT_MAPPED_4K),
      flushes: low(guest.kvm + kvm.KVM_COUNTERS + kvm.KC_FLUSHES * 4),
    });
    const before = engine() as Record<string, number>;
    const beforeJavaScript = protocolState() as Record<string, number>;
    for (const [pages, rounds] of [
      [1, 7],
      [16, 5],
      [700, 3],
    ] as const) {
      expect(shard.x.benchCycles(guest.vcpu, guest.file, 0, pages, rounds)).toBe(pages * rounds);
      expect(cycles(pages, rounds)).toBe(pages * rounds);
    }
    const grown = (after: object, from: Record<string, number>): [string, number][] =>
      Object.entries(after as Record<string, number>).map(([name, value]) => [name, value - from[name]!]);
    expect(grown(protocolState(), beforeJavaScript)).toEqual(grown(engine(), before));
    expect({ allocated: allocatedPages(), assigned: assignedPages() }).toEqual({ allocated: 0, assigned: 0 });
    closeShard(shard);
  });
});
