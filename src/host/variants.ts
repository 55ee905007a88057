// Names of variants: `B05` for V_B05, `no-flush` for V_PLANT_NO_FLUSH, `as-posted` for every mistake of the patch and its surroundings.
import * as variants from '../kernel/abi/variants.js';
import { UsageError } from './errors.js';

const BITS = new Map<string, number>(
  Object.entries(variants).map(([name, bit]) => [
    name.startsWith('V_PLANT_') ? name.slice(8).toLowerCase().replaceAll('_', '-') : name.slice(2),
    bit,
  ]),
);

/** B01 and B02 are what the patch itself fixes: as posted it has the others. From B16 on they are not its own. */
const AS_POSTED = [...BITS].filter(([name]) => /^B(0[3-9]|1[0-5])$/.test(name)).map(([, bit]) => bit);

/** Every name that `variantBits` understands. */
export function variantNames(): string[] {
  return ['as-posted', ...BITS.keys()];
}

/** Bit numbers of the named variants. Throws UsageError for an unknown name. */
export function variantBits(names: readonly string[]): number[] {
  return names.flatMap((name) => {
    if (name === 'as-posted') return AS_POSTED;
    const bit = BITS.get(name) ?? BITS.get(name.toUpperCase());
    if (bit === undefined)
      throw new UsageError('variants', `variants: '${name}' is unknown; known are ${variantNames().join(', ')}`);
    return [bit];
  });
}
