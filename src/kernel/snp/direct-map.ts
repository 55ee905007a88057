// The host's own mapping of memory, as far as the RMP cares: one bit a 2M region says whether the host maps it by 4K entries ("split") or by one 2M
// entry. Through a 2M entry a write is refused when any page of the region is assigned. A region is split before a 4K page of it is assigned
// and stays split. kernel: arch/x86/virt/svm/sev.c adjust_direct_map (upstream); RFC v8 unmapped the pages instead (invalidate_direct_map).
import { SNP_DIRECT_MAP } from '../abi/snp';
import { atomicAnd32, atomicLoadStatic32, atomicOr32, load32 } from '../point';

// @ts-ignore: decorator
@inline
function wordOf(pfn: u32): usize {
  return <usize>load32(SNP_DIRECT_MAP) + <usize>((pfn >>> 14) << 2);
}

// @ts-ignore: decorator
@inline
function bitOf(pfn: u32): u32 {
  return <u32>1 << ((pfn >>> 9) & 31);
}

/** Whether the host maps the PFN's 2M region by 4K entries. */
// @ts-ignore: decorator
@inline
export function directMapIsSplit(pfn: u32): bool {
  return (atomicLoadStatic32(wordOf(pfn)) & bitOf(pfn)) != 0;
}

/** Splits the mapping of the PFN's 2M region. Idempotent. */
// @ts-ignore: decorator
@inline
export function directMapSplit(pfn: u32): void {
  if (!directMapIsSplit(pfn)) atomicOr32(wordOf(pfn), bitOf(pfn));
}

/** Maps the PFN's 2M region by one 2M entry (again). */
export function directMapRestore(pfn: u32): void {
  atomicAnd32(wordOf(pfn), ~bitOf(pfn));
}
