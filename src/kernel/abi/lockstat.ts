// Lock statistics at SH_LOCKSTAT: an array [task id][lock class] of LOCKSTAT_ENTRY_SIZE bytes. Only its own task writes an entry;
// the host adds the tasks up. SRCU and RCU: acquisitions are read sections (RCU's are not counted), waits are grace periods.
// Hold times are sampled (a clock call costs about 80 ns), waits are all measured.
export const LOCKSTAT_ACQUISITIONS = 0; // u64
export const LOCKSTAT_CONTENDED = 8; // u64: acquisitions (SRCU, RCU: grace periods) that had to wait
export const LOCKSTAT_WAIT_SUM_NS = 16; // f64
export const LOCKSTAT_WAIT_MAX_NS = 24; // f64
export const LOCKSTAT_HOLD_SUM_NS = 32; // f64, of the samples
export const LOCKSTAT_HOLD_MAX_NS = 40; // f64, of the samples
export const LOCKSTAT_HOLD_SAMPLES = 48; // u32
export const LOCKSTAT_WAIT_HISTOGRAM = 64; // LOCKSTAT_BUCKETS x u32
export const LOCKSTAT_HOLD_HISTOGRAM = 640; // LOCKSTAT_BUCKETS x u32
export const LOCKSTAT_ENTRY_SIZE = 1216;
export const LOCKSTAT_SAMPLE_MASK = 63; // every 64th acquisition of a class by a task is sampled, unless a sample is under way

// Histogram buckets are log-linear: 0..3 hold 0..3 ns; from there each power of two has 4. Bucket b >= 4 starts at
// (4 + b % 4) << (b / 4 - 1) nanoseconds. The last bucket holds all above 2^36 * 1.75 ns (about two minutes).
export const LOCKSTAT_SUB_BITS = 2;
export const LOCKSTAT_BUCKETS = 144;
