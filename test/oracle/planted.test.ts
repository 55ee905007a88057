// Oracles fire: each case brings one mistake back by name and shows the one violation that it causes, and that the same steps pass without it.
import { describe, expect, it } from 'vitest';
import { bootHost, createGuest } from './guest.js';
import { titled, untilOops, violationsIn } from './plants/plant.js';
import { VARIANTS, type VariantPlant } from './plants/variants.js';

/** Runs the steps and an audit; returns the codes of what was found. */
async function found(steps: VariantPlant['steps'], variants: number[]): Promise<number[]> {
  const guest = createGuest(bootHost({ variants }));
  await untilOops(() => {
    steps(guest);
    guest.k.x.sysAudit();
  });
  return violationsIn(guest.k).map(({ code }) => code);
}

describe.each(titled(VARIANTS))('%s', (_, { code, variant, steps }) => {
  it('is found, and nothing else', async () => {
    expect(await found(steps, [variant])).toEqual([code]);
  });

  it('does not happen without the mistake', async () => {
    expect(await found(steps, [])).toEqual([]);
  });
});
