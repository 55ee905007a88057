// Keys: which page an operation picks. The host computes the constants, the actor draws from its own random stream.
import {
  DIST_HOTSPOT, DIST_LATEST, DIST_SEQUENTIAL, DIST_UNIFORM, DIST_ZIPF, PR_ALIGN, PR_DISTRIBUTION, PR_HOT_FRACTION, PR_HOT_SHARE, PR_INSERT_FRACTION,
  PR_RANGE_MAX, PR_RANGE_MIN, PR_SIZES, PR_SIZE_RATIO, PR_STRADDLE, PR_TARGETS, PR_TARGET_COUNT, PR_ZIPF_ALPHA, PR_ZIPF_THETA, SIZES_UNIFORM,
  TARGET_SIZE, TG_PAGE_COUNT, TG_SEQUENCE, TG_START_GFN, TG_ZIPF_ETA, TG_ZIPF_ZETAN,
} from '../abi/program';
import { load32, load64, loadF64, store64 } from '../point';
import { drawBelow, drawU32 } from './random';

/** Draws the target of the next step. */
export function drawTarget(program: usize): usize {
  return <usize>load32(program + PR_TARGETS) + <usize>drawBelow(program, load32(program + PR_TARGET_COUNT)) * TARGET_SIZE;
}

/** Draws a page of the target, in [0, TG_PAGE_COUNT). */
export function drawKey(program: usize, target: usize): u64 {
  const count = load64(target + TG_PAGE_COUNT);
  const kind = load32(program + PR_DISTRIBUTION);
  if (kind == DIST_UNIFORM) return <u64>drawBelow(program, <u32>count);
  if (kind == DIST_SEQUENTIAL) {
    const key = load64(target + TG_SEQUENCE);
    store64(target + TG_SEQUENCE, key + 1 >= count ? 0 : key + 1);
    return key;
  }
  if (kind == DIST_HOTSPOT) return drawHotspot(program, count);
  const rank = drawZipf(program, target, count);
  if (kind == DIST_LATEST) return drawLatest(program, target, count, rank);
  // A Weyl step by an odd constant spreads the hot ranks over the space (YCSB's scrambled zipfian uses a hash for the same end).
  return kind == DIST_ZIPF ? rank : (rank * 0x9e3779b97f4a7c15 >> 20) % count;
}

/** Gray, Sundaresan, Englert, Baclawski, Weinberger: Quickly generating billion-record synthetic databases, SIGMOD 1994. */
function drawZipf(program: usize, target: usize, count: u64): u64 {
  const u = <f64>drawU32(program) / 4294967296.0;
  const uz = u * loadF64(target + TG_ZIPF_ZETAN);
  if (uz < 1.0) return 0;
  if (uz < 1.0 + Math.pow(0.5, loadF64(program + PR_ZIPF_THETA))) return min<u64>(1, count - 1);
  const eta = loadF64(target + TG_ZIPF_ETA);
  const rank = <u64>(<f64>count * Math.pow(eta * u - eta + 1.0, loadF64(program + PR_ZIPF_ALPHA)));
  return min<u64>(rank, count - 1);
}

/** Takes a new key, the one after the newest, or one that is `rank` keys older than it; the area is a ring. */
function drawLatest(program: usize, target: usize, count: u64, rank: u64): u64 {
  const newest = load64(target + TG_SEQUENCE);
  if (drawU32(program) >= load32(program + PR_INSERT_FRACTION)) return newest >= rank ? newest - rank : newest + count - rank;
  const key = newest + 1 >= count ? 0 : newest + 1;
  store64(target + TG_SEQUENCE, key);
  return key;
}

function drawHotspot(program: usize, count: u64): u64 {
  const hot = max<u64>(1, (count * <u64>load32(program + PR_HOT_FRACTION)) >> 32);
  if (drawU32(program) < load32(program + PR_HOT_SHARE) || hot >= count) return <u64>drawBelow(program, <u32>hot);
  return hot + <u64>drawBelow(program, <u32>(count - hot));
}

/** Draws the length of a range in pages, in [PR_RANGE_MIN, PR_RANGE_MAX]. */
export function drawLength(program: usize): u64 {
  const least = load32(program + PR_RANGE_MIN);
  const most = load32(program + PR_RANGE_MAX);
  if (load32(program + PR_SIZES) == SIZES_UNIFORM) return <u64>(least + drawBelow(program, most - least + 1));
  const u = <f64>drawU32(program) / 4294967296.0;
  // Each of [n, n + 1) stands for n pages, hence the + 1 in the ratio that the host computes.
  return min<u64>(<u64>(<f64>least * Math.pow(loadF64(program + PR_SIZE_RATIO), u)), <u64>most);
}

/** Draws a range [key, key + pages) of the target: aligned start or across a boundary, clipped to the area; the length is returned. */
export function drawRange(program: usize, target: usize, keyp: usize): u64 {
  const align = <u64>max<u32>(load32(program + PR_ALIGN), 1);
  const count = load64(target + TG_PAGE_COUNT);
  let key = drawKey(program, target);
  key -= key % align;
  const pages = drawLength(program);
  const straddle = <u64>load32(program + PR_STRADDLE);
  if (straddle != 0 && straddle < count) {
    // The boundary is a gfn's: huge pages are aligned in the guest's address space.
    const start = load64(target + TG_START_GFN);
    const boundary = min<u64>(key - (start + key) % straddle + straddle, count - 1);
    key = boundary - min<u64>(max<u64>(pages >> 1, 1), boundary);
  }
  store64(keyp, key);
  return min<u64>(max<u64>(pages, straddle != 0 ? 2 : 1), count - key);
}
