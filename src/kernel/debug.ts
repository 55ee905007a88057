// pr_debug with dynamic debug: each site has one flag byte that the host sets by function name; the host holds the formats.
import { SH_DEBUG_FLAGS } from './abi/layout';
import { hostPrDebug, load8 } from './point';

/** Prints site `site` (abi/debug.ts) when its flag is on. Arguments in the order of the site's format. */
// @ts-ignore: decorator
@inline
export function prDebug(site: i32, a: f64 = 0, b: f64 = 0, c: f64 = 0, d: f64 = 0, e: f64 = 0, f: f64 = 0): void {
  if (load8(<usize>site + SH_DEBUG_FLAGS) != 0) hostPrDebug(site, a, b, c, d, e, f);
}
