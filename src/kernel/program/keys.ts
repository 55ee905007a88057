// Keys: which page an operation picks. The host computes the constants, the actor draws from its own random stream.
import {
  DIST_HOTSPOT, DIST_SEQUENTIAL, DIST_UNIFORM, DIST_ZIPF, PR_ALIGN, PR_DISTRIBUTION, PR_HOT_FRACTION, PR_HOT_SHARE, PR_RANGE_MAX,
  PR_RANGE_MIN, PR_TARGETS, PR_TARGET_COUNT, PR_ZIPF_ALPHA, PR_ZIPF_THETA, TARGET_SIZE, TG_PAGE_COUNT, TG_SEQUENCE, TG_ZIPF_ETA,
  TG_ZIPF_ZETAN,
} from '../abi/program';
import { load32, load64, loadF64, randomU32, store64 } from '../point';

/** Uniform in [0, bound), bound < 2^32; multiply-shift, bias below 2^-32 * bound. */
// @ts-ignore: decorator
@inline
export function randomBelow(bound: u32): u32 {
  return <u32>((<u64>randomU32() * <u64>bound) >> 32);
}

/** Draws the target of the next step. */
export function drawTarget(program: usize): usize {
  return <usize>load32(program + PR_TARGETS) + <usize>randomBelow(load32(program + PR_TARGET_COUNT)) * TARGET_SIZE;
}

/** Draws a page of the target, in [0, TG_PAGE_COUNT). */
export function drawKey(program: usize, target: usize): u64 {
  const count = load64(target + TG_PAGE_COUNT);
  const kind = load32(program + PR_DISTRIBUTION);
  if (kind == DIST_UNIFORM) return <u64>randomBelow(<u32>count);
  if (kind == DIST_SEQUENTIAL) {
    const key = load64(target + TG_SEQUENCE);
    store64(target + TG_SEQUENCE, key + 1 >= count ? 0 : key + 1);
    return key;
  }
  if (kind == DIST_HOTSPOT) return drawHotspot(program, count);
  const rank = drawZipf(program, target, count);
  // A Weyl step by an odd constant spreads the hot ranks over the space (YCSB's scrambled zipfian uses a hash for the same end).
  return kind == DIST_ZIPF ? rank : (rank * 0x9e3779b97f4a7c15 >> 20) % count;
}

/** Gray, Sundaresan, Englert, Baclawski, Weinberger: Quickly generating billion-record synthetic databases, SIGMOD 1994. */
function drawZipf(program: usize, target: usize, count: u64): u64 {
  const u = <f64>randomU32() / 4294967296.0;
  const uz = u * loadF64(target + TG_ZIPF_ZETAN);
  if (uz < 1.0) return 0;
  if (uz < 1.0 + Math.pow(0.5, loadF64(program + PR_ZIPF_THETA))) return min<u64>(1, count - 1);
  const eta = loadF64(target + TG_ZIPF_ETA);
  const rank = <u64>(<f64>count * Math.pow(eta * u - eta + 1.0, loadF64(program + PR_ZIPF_ALPHA)));
  return min<u64>(rank, count - 1);
}

function drawHotspot(program: usize, count: u64): u64 {
  const hot = max<u64>(1, (count * <u64>load32(program + PR_HOT_FRACTION)) >> 32);
  if (randomU32() < load32(program + PR_HOT_SHARE) || hot >= count) return <u64>randomBelow(<u32>hot);
  return hot + <u64>randomBelow(<u32>(count - hot));
}

/** Draws a range [key, key + pages) of the target: aligned start, clipped to the area; the length is returned. */
export function drawRange(program: usize, target: usize, keyp: usize): u64 {
  const align = <u64>max<u32>(load32(program + PR_ALIGN), 1);
  let key = drawKey(program, target);
  key -= key % align;
  const least = load32(program + PR_RANGE_MIN);
  const pages = <u64>(least + randomBelow(load32(program + PR_RANGE_MAX) - least + 1));
  store64(keyp, key);
  return min<u64>(pages, load64(target + TG_PAGE_COUNT) - key);
}
