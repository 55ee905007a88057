// Injected trouble of the perturbed build, beside the delays at points (SH_PERTURB_*): words of SUBSYS_PERTURB. The host writes the first part before the
// actors start; the second counts what was injected. A chance is a share of 2^32; lengths are the longest, drawn log-uniformly.
export const PB_YIELD_CHANCE = 77312; // u32: share of the delays that give the CPU away
export const PB_TROUBLE = 77316; // u32: 1 = a perturbation may be more than a delay
export const PB_HOLD_CHANCE = 77320; // u32: of the perturbations that meet a held lock
export const PB_HOLD_NS = 77328; // f64
export const PB_FAIL_CHANCE = 77336; // u32: of the allocations of pages and of kernel memory, by every task but task 0
export const PB_HOOK_CHANCE = 77340; // u32: of the calls of the platform hook
export const PB_HOOK_NS = 77344; // f64
export const PB_IPI_CHANCE = 77352; // u32: of the guest's accesses, before which an IPI comes late
export const PB_IPI_NS = 77360; // f64
export const PB_PAUSE_EVERY_NS = 77368; // f64: mean running time of a victim between two pauses
export const PB_PAUSE_LEAST_NS = 77376; // f64
export const PB_PAUSE_MOST_NS = 77384; // f64
export const PB_LEAVE_EVERY_NS = 77392; // f64: mean time after which the thread of an actor leaves; 0: never
export const PB_AWAY_NS = 77400; // f64: the longest absence

export const PB_HOLDS = 77440; // u64: long holds
export const PB_PAUSES = 77448; // u64: pauses of victims
export const PB_FAILURES = 77456; // u64: allocations that failed
export const PB_HOOKS = 77464; // u64: slow calls of the hook
export const PB_IPIS = 77472; // u64: IPIs that came late
export const PB_LEAVES = 77480; // u64: threads that have left
