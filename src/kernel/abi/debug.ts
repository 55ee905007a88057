// pr_debug sites: numbers of the lines that the invalidation patch prints. One flag byte a site at SH_DEBUG_FLAGS; the host holds the formats.
export const DEBUG_RESTRICTEDMEM_UNBIND = 0; // (start, end exclusive): page offsets about to be unbound
export const DEBUG_INVALIDATE_BEGIN_SKIPPED = 1; // (slot id, start, end, restrictedmem.index): range does not meet the slot
export const DEBUG_INVALIDATE_BEGIN = 2; // (slot id, start, end, restrictedmem.index, first gfn, end gfn)
export const DEBUG_SITE_COUNT = 3;
