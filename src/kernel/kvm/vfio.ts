// Assigned devices: pages of the VMM that are mapped in an IOMMU are pinned as long as they are, for a device cannot fault and no MMU notifier stops it. So neither a discard
// nor swap frees them, and no guest gets them. kernel: drivers/vfio/vfio_iommu_type1.c vfio_dma_do_map(), vfio_pin_pages_remote(), vfio_unmap_unpin(); AMD APM volume 2, 15.36:
// the IOMMU checks writes against the RMP as the CPU does, but page by page.
import { ENOMEM } from '../abi/errno';
import { KVM_ID } from '../abi/kvm';
import { NO_PFN } from '../abi/layout';
import { HOST_PF_RMP_WRITE } from '../abi/snp';
import { OOPS_HOST_WRITE_RMP, OOPS_STALE_DMA, ORACLE_HOST_PAGE, ORACLE_STALE_MAPPING } from '../abi/oops';
import { V_PLANT_UNPINNED_DMA } from '../abi/variants';
import { kfree, kzalloc } from '../heap';
import { pageRefcount, putPage, setPageContent, setPageDirty } from '../mm/page';
import { oops } from '../oops';
import { load32, load64, oraclesOn, store32, store64, variant } from '../point';
import { rmpAssigned, rmpCovers } from '../snp/rmp';
import { getUserPage } from './shared';

/** Pages of one mapping at most. */
export const DMA_MAX_PAGES: u32 = 256;

// struct vfio_dma, and the PFNs behind it.
const DMA_KVM: usize = 0;
const DMA_COUNT: usize = 4;
const DMA_START: usize = 8; // u64 first page of the VMM's address space
const DMA_PFNS: usize = 16; // DMA_COUNT x u32

// @ts-ignore: decorator
@inline
function sizeOf(pages: u32): usize { return DMA_PFNS + (<usize>pages << 2); }

// @ts-ignore: decorator
@inline
function pfnAt(dma: usize, n: u32): u32 { return load32(dma + DMA_PFNS + (<usize>n << 2)); }

/**
 * VFIO_IOMMU_MAP_DMA of pages [start, start + pages) of the VMM, `pages` at most DMA_MAX_PAGES. The mapping, or -ENOMEM.
 * @context sleeps; allocates pages that are not there.
 */
export function vfioDmaMap(kvm: usize, start: u64, pages: u32): usize {
  const dma = kzalloc(sizeOf(pages));
  if (dma == 0) return <usize>-ENOMEM;
  store32(dma + DMA_KVM, <u32>kvm);
  store64(dma + DMA_START, start);
  for (let n: u32 = 0; n < pages; n++) {
    const pfn = getUserPage(kvm, start + <u64>n);
    if (pfn == <u32>NO_PFN) {
      unpin(dma, n);
      kfree(dma, sizeOf(pages));
      return <usize>-ENOMEM;
    }
    if (variant(V_PLANT_UNPINNED_DMA)) putPage(pfn);
    store32(dma + DMA_PFNS + (<usize>n << 2), pfn);
  }
  store32(dma + DMA_COUNT, pages);
  return dma;
}

function unpin(dma: usize, count: u32): void {
  if (variant(V_PLANT_UNPINNED_DMA)) return;
  for (let n: u32 = 0; n < count; n++) putPage(pfnAt(dma, n));
}

/** The device writes `token` to page `n` of the mapping. Oracles 1 and 2: a pinned page is neither free nor a guest's. @context any; the mapping stays meanwhile. */
export function vfioDmaWrite(dma: usize, n: u32, token: u32): void {
  const pfn = pfnAt(dma, n);
  if (oraclesOn()) {
    const page = load64(dma + DMA_START) + <u64>n;
    if (pageRefcount(pfn) == 0) oops(ORACLE_STALE_MAPPING, OOPS_STALE_DMA, load32(<usize>load32(dma + DMA_KVM) + KVM_ID), <f64>page, <f64>pfn);
    if (rmpCovers(pfn) && rmpAssigned(pfn)) oops(ORACLE_HOST_PAGE, OOPS_HOST_WRITE_RMP, <f64>pfn, <f64>HOST_PF_RMP_WRITE);
  }
  setPageContent(pfn, token);
  setPageDirty(pfn);
}

/** VFIO_IOMMU_UNMAP_DMA. @context sleeps; the device is done with it. */
export function vfioDmaUnmap(dma: usize): void {
  const pages = load32(dma + DMA_COUNT);
  unpin(dma, pages);
  kfree(dma, sizeOf(pages));
}
