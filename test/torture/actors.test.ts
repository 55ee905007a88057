// Actors as programs: who works on what.
import { describe, expect, it } from 'vitest';
import { writeActors } from '#src/torture/actors.js';
import { actorSchema } from '#src/torture/schema.js';
import { PR_TARGET_COUNT, PR_TARGETS, TARGET_SIZE, TG_VCPU } from '#src/kernel/abi/program.js';
import { bootHost, createGuest } from '../oracle/guest.js';

const VCPUS = [1000, 1001, 1002, 1003, 1004]; // addresses are only handed on

/** vCPUs of each thread when entries of these many threads work on one guest with five. */
function vcpusOf(...threads: number[]): number[][] {
  const k = bootHost({ pfnCount: 4096 });
  k.x.addMemory(512, 4096);
  const { vm, file } = createGuest(k, 16, 1);
  const area = { slotId: 0, flags: 4, gpa: 0, size: 65_536, hva: 0, file, offset: 0 };
  const guest = { name: 'g', shard: 0, vm, vcpus: VCPUS, areas: [area], files: [file], highestGfn: 16, spareId: 64 };
  const actors = threads.map((count) => actorSchema.parse({ kind: 'vcpu', threads: count }));
  return writeActors([k], actors, [guest]).map(({ address }) => {
    const targets = k.u32(address + PR_TARGETS);
    return Array.from({ length: k.u32(address + PR_TARGET_COUNT) }, (_, n) =>
      k.u32(targets + n * TARGET_SIZE + TG_VCPU),
    );
  });
}

describe('vCPUs', () => {
  it('are dealt over the threads of an actor', () => {
    expect(vcpusOf(2)).toEqual([
      [1000, 1002, 1004],
      [1001, 1003],
    ]);
  });

  it('have one thread each, also when several actors run vCPUs', () => {
    expect(vcpusOf(1, 2)).toEqual([[1000, 1003], [1001, 1004], [1002]]);
  });

  it('leave no thread without work: what is too much is not started', () => {
    expect(vcpusOf(3, 4)).toEqual([[1000], [1001], [1002], [1003], [1004]]);
  });
});
