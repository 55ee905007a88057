// Which functions of KVM's fault and invalidation paths are which functions of our kernel: what a function_graph trace shows of the path that is modelled.
// Kernel names of 5.10 (try_async_pf) to 6.14 (kvm_mmu_faultin_pfn), and of the SEV-SNP host trees.

/** Kernel function to the function of src/kernel that models it. What it calls in turn is part of the step unless it is named here, too. */
export const MODELLED: Readonly<Record<string, string>> = {
  handle_exit: 'vcpuAccess',
  svm_handle_exit: 'vcpuAccess',
  vmx_handle_exit: 'vcpuAccess',
  npf_interception: 'vcpuAccess',
  handle_ept_violation: 'vcpuAccess',
  kvm_mmu_page_fault: 'kvmMmuPageFault',
  kvm_tdp_page_fault: 'kvmMmuPageFault',
  kvm_tdp_mmu_page_fault: 'kvmMmuPageFault',
  direct_page_fault: 'kvmMmuPageFault',
  fast_page_fault: 'tdpFastPageFault',
  kvm_vcpu_gfn_to_memslot: 'gfnToMemslot',
  gfn_to_memslot: 'gfnToMemslot',
  __gfn_to_pfn_memslot: 'sharedGetPfn',
  hva_to_pfn: 'sharedGetPfn',
  kvm_gmem_get_pfn: 'kvmGmemGetPfn',
  kvm_restrictedmem_get_pfn: 'kvmRestrictedmemGetPfn',
  restrictedmem_get_page: 'restrictedmemGetPage',
  mmu_invalidate_retry_gfn: 'mmuInvalidateRetryGfn',
  is_page_fault_stale: 'mmuInvalidateRetryGfn',
  __direct_map: 'tdpMap',
  direct_map: 'tdpMap',
  kvm_tdp_mmu_map: 'tdpMap',
  kvm_release_pfn_clean: 'putPage',
  kvm_mmu_invalidate_begin: 'kvmMmuInvalidateBegin',
  kvm_mmu_invalidate_end: 'kvmMmuInvalidateEnd',
  kvm_mmu_notifier_invalidate_range_start: 'kvmMmuNotifierInvalidateRangeStart',
  kvm_mmu_notifier_invalidate_range_end: 'kvmMmuNotifierInvalidateRangeEnd',
  kvm_unmap_gfn_range: 'kvmUnmapGfnRange',
  kvm_mmu_unmap_gfn_range: 'kvmUnmapGfnRange',
  kvm_flush_remote_tlbs: 'kvmFlushRemoteTlbs',
  kvm_gmem_fallocate: 'kvmGmemFallocate',
  kvm_gmem_release: 'kvmGmemRelease',
  sev_handle_rmp_fault: 'handleRmpPageFault',
  handle_rmp_page_fault: 'handleRmpPageFault',
  sev_gmem_prepare: 'sevGmemPrepare',
  sev_gmem_invalidate: 'sevGmemInvalidate',
  rmp_make_private: 'rmpMakePrivate',
  rmp_make_shared: 'rmpMakeShared',
  rmpupdate: 'rmpupdate',
  psmash: 'psmashInsn',
};

/** The function that handles one fault, whoever calls it. */
export const FAULT = 'kvm_mmu_page_fault';
