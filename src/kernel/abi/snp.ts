// SEV-SNP: instruction results, page states, levels, and the globals and counters of src/kernel/snp.

// --- the RMP entry, 16 bytes a PFN at SH_RMP (bit layout: snp/rmp.ts) ---
export const RMP_ENTRY_SIZE = 16;
export const RMP_LO = 0; // u64, atomic
export const RMP_HI = 8; // u64, atomic
// Bit numbers in the two words; what each means and who changes it: snp/rmp.ts.
export const RMP_LO_ASSIGNED = 0;
export const RMP_LO_PAGESIZE = 1;
export const RMP_LO_IMMUTABLE = 2;
export const RMP_LO_COUNT = 3; // 9 bits, of a 2M region's first entry; of the others this one bit is MARK
export const RMP_LO_GFN = 12; // 39 bits
export const RMP_LO_ASID = 51; // 10 bits
export const RMP_LO_VMSA = 61;
export const RMP_LO_VALIDATED = 62;
export const RMP_LO_FIRMWARE = 63;
export const RMP_USE_VMRUN = 62;
export const RMP_USE_LOCK = 63;

export const PG_LEVEL_4K = 1;
export const PG_LEVEL_2M = 2;

// --- results of RMPUPDATE, PSMASH, PVALIDATE, RMPADJUST in EAX ---
export const RMP_OK = 0;
export const RMP_FAIL_INPUT = 1;
export const RMP_FAIL_PERMISSION = 2;
export const RMP_FAIL_INUSE = 3;
export const RMP_FAIL_OVERLAP = 4;
export const RMP_FAIL_SIZEMISMATCH = 6; // PVALIDATE, RMPADJUST, RMPQUERY
export const PVALIDATE_NO_CHANGE = 255; // CF=1: already in that state
// Ours, no hardware code: see the functions that return them.
export const RMP_ALREADY_ASSIGNED = 5; // a conditional RMPUPDATE met an assigned page
export const GUEST_NPF_RMP = -1; // a guest instruction did not execute: #NPF, the page is not this guest's
export const GUEST_NPF_SIZEM = -2; // same, a 4K operation on a 2M entry: the host has to PSMASH, then the guest repeats it

// --- page states of the APM (pageState) ---
export const PS_HYPERVISOR = 0;
export const PS_HV_FIXED = 1;
export const PS_RECLAIM = 2;
export const PS_FIRMWARE = 3;
export const PS_CONTEXT = 4;
export const PS_METADATA = 5;
export const PS_PRE_GUEST = 6;
export const PS_PRE_SWAP = 7;
export const PS_GUEST_INVALID = 8;
export const PS_GUEST_VALID = 9;
export const PS_DEFAULT = 10; // no combination the table names

// Who may take a page out of a state (pageStateLeavers): a set of bits.
export const LEAVER_HOST = 1; // RMPUPDATE
export const LEAVER_FIRMWARE = 2; // a command of the AMD-SP
export const LEAVER_GUEST = 4; // PVALIDATE

// --- #NPF and #PF error code bits ---
export const PFERR_PRESENT_BIT = 0;
export const PFERR_WRITE_BIT = 1;
export const PFERR_USER_BIT = 2;
export const PFERR_RMP_BIT = 31;
export const PFERR_GUEST_FINAL_BIT = 32;
export const PFERR_GUEST_ENC_BIT = 34;
export const PFERR_GUEST_SIZEM_BIT = 35;
export const PFERR_GUEST_VMPL_BIT = 36;
export const RMP_CHECK_VC_BIT = 63; // ours: not an #NPF but a #VC in the guest, the page is not validated
export const HOST_PF_RMP_WRITE = 0x80000003; // present, write, RMP

export const INITIAL_VMSA_GFN = 0xfffffffff; // where the guest's launch digest says that VMSAs lie

// RMPADJUST permissions of one VMPL.
export const VMPL_READ = 1;
export const VMPL_WRITE = 2;
export const VMPL_EXEC_USER = 4;
export const VMPL_EXEC_SUPERVISOR = 8;

// --- SUBSYS_SNP ---
export const SNP_ENABLED = 75264; // u32: 1 after rmpInit
export const SNP_DIRECT_MAP = 75268; // address of a bitmap, a bit a 2M region: 1 = the host maps it by 4K entries
export const SNP_TABLE_PFNS = 75272; // u32: PFNs the RMP covers (whole 2M regions)
export const SNP_IN_USE_SEEN = 75276; // u32: 1 once any page was marked in use by VMRUN
export const SNP_ERRATUM_IN_USE_2M = 75280; // u32: 1 = a 2M-aligned page in use makes its whole region count as in use (set by the host)
export const SNP_HV_IN_USE_WRITE_ALLOWED = 75284; // u32: 1 = CPUs with HvInUseWrAllowed (set by the host)
export const SNP_MIN_ASID = 75288; // u32, host may set it before the first sevAsidNew; 0: 1
export const SNP_MAX_ASID = 75292; // u32, last one; 0: SNP_MAX_ASID_DEFAULT
export const SNP_ASID_FLUSHES = 75296; // u32: WBINVD + DF_FLUSH rounds that made freed ASIDs usable again
export const SNP_TABLE_START = 75300; // u32: first PFN of the RMP table itself
export const SNP_TABLE_END = 75304; // u32: the first behind it; 0: it lies in no memory of this host
export const SNP_ASID_USED = 75328; // bitmap of 1024 bits: given to a VM; LOCK_ASID
export const SNP_ASID_RECLAIM = 75456; // bitmap of 1024 bits: freed, not flushed yet; LOCK_ASID
export const SNP_MAX_ASID_DEFAULT = 1006;
export const SNP_ASID_LIMIT = 1023; // 10 bits in the RMP entry

// --- counters of one task: u64 each, at task + SNP_COUNTERS + SNPC_*; plain, only their task adds ---
export const SNP_COUNTERS = 704;
export const SNPC_RMPUPDATES = 0; // RMPUPDATEs that succeeded (a 2M one counts once)
export const SNPC_PSMASHES = 8;
export const SNPC_IN_USE = 16; // FAIL_INUSE results, before the retry
export const SNPC_OVERLAP = 24; // FAIL_OVERLAP results, before the retry
export const SNPC_LEAKED_PAGES = 32;
export const SNPC_HOOK_PAGES = 40; // pages the hook gave back to the host
export const SNPC_SKIPPED = 48; // pages an attribute update left to the fault path (their range was being invalidated)
export const SNPC_SPURIOUS_FAULTS = 56; // RMP faults that another vCPU had already handled
export const SNPC_HOST_FAULTS = 64; // #PFs with the RMP bit that the host has survived

// RMPREAD / RMPUPDATE operand in memory.
export const RMP_OPERAND_SIZE = 16;
export const RMP_OPERAND_GPA = 0; // u64
export const RMP_OPERAND_ASSIGNED = 8; // u8
export const RMP_OPERAND_PAGESIZE = 9; // u8: bit 0 2M, bit 1 (RMPREAD) some 4K entry of the region is assigned
export const RMP_OPERAND_IMMUTABLE = 10; // u8
export const RMP_OPERAND_ASID = 12; // u32
