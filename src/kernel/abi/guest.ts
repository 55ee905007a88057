// Shadow memory of the guest-data oracle: what each guest must be able to read back. One table a VM (KVM_SHADOW), made by sysGuestShadow.
export const SHADOW_HEADER = 16; // +0 u64 gfnCount; then the tables
// table 1: u64 a gfn: {token u32 last written by the owning vCPU, epoch u32 at that moment | 1 << 31 when known}
// table 2: u32 a gfn: invalidations of ranges smaller than a chunk; table 3: u32 a 512-gfn chunk: invalidations of whole chunks
export const SHADOW_CHUNK = 512;
