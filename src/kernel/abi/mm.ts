// Memory management: layout of partitions, regions, struct page, the hidden shmem file and restrictedmem files; fallocate modes.
// All are plain constants: the host reads statistics and files through them.

// --- struct page: 8 bytes a PFN at SH_PAGES ---
export const PAGE_STRUCT_SIZE = 8;
export const PAGE_WORD = 0; // u32, atomic: bits 23:0 reference count (of the whole folio in a compound head), bits 31:24 flags PG_*
export const PAGE_CONTENT = 4; // u32, atomic: what the page holds, as one token; 0 = zeroes
export const PAGE_REF_MASK = 0x00ffffff;
export const PG_UPTODATE = 0x01000000; // handed out once: a failing fallocate must not take it back
export const PG_LEAKED = 0x02000000; // on the SNP leak list: never goes back to the allocator
export const PG_LOCKED = 0x04000000; // folio lock, in a folio's first page: guest_memfd only
export const PG_WAITERS = 0x08000000; // somebody sleeps for the folio lock
export const PG_HWPOISON = 0x10000000; // the hardware has failed here
export const PG_DIRTY = 0x40000000; // a page of a process was changed since swap had it (kvm/swap.ts)
export const PG_HAS_HWPOISONED = 0x20000000; // in a folio's first page: one of its pages is poisoned

// --- region: 512 PFNs, REGION_SIZE bytes each at SH_REGIONS; zero (and uncommitted) until the first page of it is used ---
export const PTRS_PER_FOLIO = 512;
export const REGION_SIZE = 128;
export const REGION_STATE = 0; // u32, atomic bits: REGION_*
export const REGION_FREE = 4; // u32: free pages, zone lock; 512 = on the 2M list, 1..511 = on the list of partly free regions
export const REGION_NEXT = 8; // u32: address of the next region of its list, zone lock
export const REGION_PREV = 12; // u32
export const REGION_ZONE = 16; // u32: address of its partition, 0 = never used; constant once set
export const REGION_RANGE_END = 20; // u32: in the first region of an untouched range, region number behind the range; zone lock
export const REGION_RANGE_NEXT = 24; // u32: address of the first region of the next untouched range
export const REGION_FILE_HINT = 28; // u32, atomic: shmem file that took a page of the region last (reverse look-up of memory errors)
export const REGION_INDEX_HINT = 32; // u64, atomic: page offset at which it took that page
export const REGION_BITMAP = 64; // 8 x u64: bit set = page is free, zone lock
export const REGION_COMPOUND = 1; // allocated as one 2M folio: its reference count is the one of the first page
export const REGION_LEAKED = 2; // some page of it is leaked

// --- partition (a zone with a home worker): contiguous PFNs ---
export const PARTITION_SIZE = 256;
export const ZONE_LOCK = 0; // spinlock
export const ZONE_PARTIAL = 16; // u32: first partly free region
export const ZONE_FREE_2M = 20; // u32: first wholly free region that was used before
export const ZONE_BUMP_NEXT = 24; // u32: region number, [next, end) is memory never used
export const ZONE_BUMP_END = 28; // u32
export const ZONE_RANGES = 32; // u32: first region (address) of further untouched ranges
export const ZONE_FREE_PAGES = 36; // u32: written under the lock, read by anybody
export const ZONE_MANAGED = 40; // u32: all pages given to it
export const ZONE_ID = 44; // u32
export const ZONE_TAKEN_4K = 64; // u64: pages handed out one by one (also into task caches)
export const ZONE_TAKEN_2M = 72; // u64: folios of 512
export const ZONE_GIVEN = 80; // u64: pages given back
export const ZONE_FALLBACKS = 88; // u64: allocations that wanted this partition and got a page of another

// --- per-task page cache and accounting: 512 bytes, the first 64 where hosts are too small for caches ---
export const PCP_COUNT = 0; // u32: pages cached
export const PCP_ZONE = 4; // u32: partition they belong to
export const PCP_ALLOCATED = 8; // i32: pages allocated minus freed minus leaked by this task
export const PCP_MISSES = 12; // u32: requests for another partition since the last hit
export const PCP_HIGH = 16; // u32: pages it may hold, 0 = none; constant
export const PCP_PFNS = 64; // u32 each
export const PCP_HIGH_MAX = 64;

// --- the hidden memfd (shmem file and inode in one) ---
export const SHMEM_I_PAGES = 0; // XArray: value = pfn, or pfn | SHMEM_FOLIO in a multi-index entry of order 9
export const SHMEM_NRPAGES = 32; // u64: pages in the file; written under xa_lock, read by anybody
export const SHMEM_I_SIZE = 64; // u64 bytes, atomic
export const SHMEM_REFS = 72; // u32, atomic
export const SHMEM_FLAGS = 76; // u32: SHMEM_HUGE | SHMEM_INTERLEAVE; set before the file is shared
export const SHMEM_HOME = 80; // i32: partition, -1 = the one of the allocating task
export const SHMEM_MAGIC = 84; // u32
export const SHMEM_SIZE = 128;
export const SHMEM_FOLIO = 0x40000000;
export const SHMEM_HUGE = 1; // holes are filled by 2M folios where one fits
export const SHMEM_INTERLEAVE = 2; // 2M chunks of the file go round over the partitions, from the home partition on
export const SHMEM_GMEM = 4; // pages of guest_memfd: they leave under their folio's lock, each through kvm_gmem_free_folio

export const SGP_READ = 0; // a hole is no error: NO_PFN
export const SGP_NOALLOC = 1; // a hole is -ENOENT
export const SGP_CACHE = 2; // allocates inside i_size
export const SGP_WRITE = 3; // allocates, also behind i_size
export const SGP_FALLOC = 4; // allocates; the page counts as untouched

export const FALLOC_FL_KEEP_SIZE = 1;
export const FALLOC_FL_PUNCH_HOLE = 2;

// --- restrictedmem ---
export const FILE_MAGIC = 0; // u32
export const FILE_COUNT = 4; // u32, atomic: references
export const FILE_F_MAPPING = 8; // u32: address_space the file was opened on; constant
export const FILE_INODE = 12; // u32
export const FILE_NEXT = 16; // u32: global file list, LOCK_FILE_LIST
export const FILE_PREV = 20; // u32
export const FILE_ID = 24; // u32
export const FILE_SIZE = 64;
export const INODE_I_MAPPING = 0; // u32: normally the inode's own INODE_I_DATA; a stacked file system points it elsewhere
export const INODE_SB_NEXT = 4; // u32: next inode of sb->s_inodes
export const INODE_I_DATA = 8; // address_space: +0 u32 private_data
export const INODE_SIZE = 32;
export const MAPPING_PRIVATE_DATA = 0; // u32
export const RM_LOCK = 0; // rwsem: write = bind, unbind; read = punch hole, memory error
export const RM_BINDINGS = 64; // XArray: page offset -> notifier; RM_LOCK (and its own xa_lock)
export const RM_MEMFD = 96; // u32: hidden shmem file; constant
export const RM_EXCLUSIVE = 100; // u32: mode of the bindings there are; RM_LOCK
export const RM_MAGIC = 104; // u32
export const RM_KVM = 108; // u32: of a guest_memfd, the VM it belongs to (and pins), 0: none yet; written once under RM_LOCK
export const RM_SIZE = 128;

export const NOTIFIER_OPS = 0; // u32: address of the table indices
export const NOTIFIER_SIZE = 16;
export const NOTIFIER_OPS_INVALIDATE_START = 0; // (notifier, start u64, end u64 exclusive): void
export const NOTIFIER_OPS_INVALIDATE_END = 4;
export const NOTIFIER_OPS_ERROR = 8;
// A range that goes in pieces: instead of INVALIDATE_START first OPEN for all of it, then PIECE for each part before its pages are freed, by several tasks at once.
export const NOTIFIER_OPS_INVALIDATE_OPEN = 12; // as INVALIDATE_START
export const NOTIFIER_OPS_INVALIDATE_PIECE = 16; // (notifier, start u64, end u64 exclusive, pages: XArray of the pages there, base u64: the offset of its index 0): void
export const NOTIFIER_OPS_SIZE = 24;

// What restrictedmemGetattr fills in.
export const STAT_BYTES = 0; // u64 st_size
export const STAT_BLOCKS = 8; // u64 st_blocks, of 512 bytes
export const STAT_BLKSIZE = 16; // u32
export const STAT_INO = 20; // u32
export const STAT_SIZE = 32;

// struct mmu_notifier_subscriptions (mm/mmu-notifier.ts).
export const MN_LIST_FIRST = 0; // u32 atomic: changed under MN_LIST_LOCK, read in MN_LIST_SRCU
export const MN_LIST_LOCK = 16; // spinlock
export const MN_LIST_SRCU = 64; // srcu_struct
