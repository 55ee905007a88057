// Where the host keeps the RMP table itself, and the memory around it. The firmware's pages end where the table does; the host's own mapping and the hardware look
// at whole 2M regions, so nothing else may live in the regions where the table begins and ends.
// kernel: arch/x86/virt/svm/sev.c snp_fixup_e820_tables(), __snp_fixup_e820_tables().
import { PTRS_PER_2M } from '../abi/layout';
import { SNP_TABLE_END, SNP_TABLE_START } from '../abi/snp';
import { V_B47 } from '../abi/variants';
import { addMemory } from '../mm/page';
import { atomicAdd64, atomicLoad64, atomicStore64, load32, store32, variant } from '../point';
import { RMP_ASSIGNED, RMP_COUNT_MASK, RMP_COUNT_ONE, rmpEntry, RMP_FIRMWARE_BIT, rmpHeadEntry, RMP_IMMUTABLE, rmpIsHead } from './rmp';

const REGION_MASK: u32 = <u32>PTRS_PER_2M - 1;

/**
 * Marks [startPfn, endPfn), where this host keeps its RMP table, as firmware pages: the host reads them, never writes, and no RMPUPDATE assigns a page that shares the last
 * one's 2M region.
 * @context boot, before the memory of these regions is added.
 */
export function rmpSetFirmwareRange(startPfn: u32, endPfn: u32): void {
  store32(SNP_TABLE_START, startPfn);
  store32(SNP_TABLE_END, endPfn);
  for (let pfn = startPfn; pfn < endPfn; pfn++) {
    const entry = rmpEntry(pfn);
    atomicStore64(entry, (atomicLoad64(entry) & RMP_COUNT_MASK) | RMP_FIRMWARE_BIT | RMP_IMMUTABLE | RMP_ASSIGNED);
    if (!rmpIsHead(pfn)) atomicAdd64(rmpHeadEntry(pfn), RMP_COUNT_ONE);
  }
}

/** First PFN of the first region that the table has pages in, and the first behind the last one. */
function firstReserved(): u32 { return load32(SNP_TABLE_START) & ~REGION_MASK; }
function endReserved(): u32 { return (load32(SNP_TABLE_END) + REGION_MASK) & ~REGION_MASK; }

/**
 * Makes PFNs [startPfn, endPfn) of the host's memory map usable, but for what shares a 2M region with the RMP table (B47): a write there through a 2M mapping would meet the
 * table's pages.
 * @context boot, after rmpSetFirmwareRange; takes zone locks.
 */
export function addHostMemory(startPfn: u32, endPfn: u32): void {
  if (load32(SNP_TABLE_END) == 0 || variant(V_B47)) {
    addMemory(startPfn, endPfn);
    return;
  }
  const before = min<u32>(endPfn, firstReserved());
  const behind = max<u32>(startPfn, endReserved());
  if (startPfn < before) addMemory(startPfn, before);
  if (behind < endPfn) addMemory(behind, endPfn);
}
