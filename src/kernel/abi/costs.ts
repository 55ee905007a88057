// What operations of the hardware cost here: u32 nanoseconds each in SUBSYS_COSTS, 0: nothing is spent. Written by the host before the kernel boots.
export const COST_RMPUPDATE = 77824;
export const COST_RMPUPDATE_2M = 77828;
export const COST_PSMASH = 77832;
export const COST_PVALIDATE = 77836;
export const COST_RMPADJUST = 77840;
export const COST_TLB_FLUSH_IPI = 77844; // one flush of a guest's TLBs on all CPUs
export const COST_TLB_FLUSH_TARGET = 77848; // more for each of its vCPUs
export const COST_WBINVD = 77852; // WBINVD on all CPUs and DF_FLUSH
export const COST_VMRUN = 77856; // VMRUN and the #VMEXIT after it
export const COST_TURNS_PER_NS = 77864; // f64: turns of fence in a nanosecond, measured at boot
