// Oracle 6, guest data: private memory keeps what its guest has written until the page is invalidated, and shows nothing of another guest's.
// Every token a guest writes carries a tag of (VM, gfn), so foreign data is recognised without knowing whose it is. The value itself is
// checked by the one vCPU that owns the gfn (gfn % vCPUs), for whom "last written" has a meaning without further ordering.
import { SHADOW_CHUNK, SHADOW_HEADER } from '../abi/guest';
import { KVM_ID, KVM_SHADOW } from '../abi/kvm';
import { OOPS_GUEST_FOREIGN_DATA, OOPS_GUEST_LOST_WRITE, ORACLE_GUEST_DATA } from '../abi/oops';
import { oops } from '../oops';
import { atomicAdd32, atomicLoad32, load32, load64, store32, store64 } from '../point';
import { vfree, vmalloc } from '../heap';

const KNOWN: u32 = 0x80000000;

/** Allocates the shadow of `gfnCount` guest pages; untouched parts stay uncommitted. Returns false when out of memory. */
export function guestShadowInit(kvm: usize, gfnCount: u64): bool {
  const shadow = vmalloc(shadowBytes(gfnCount));
  if (shadow == 0) return false;
  store64(shadow, gfnCount);
  store32(kvm + KVM_SHADOW, <u32>shadow);
  return true;
}

function shadowBytes(gfnCount: u64): u64 {
  return SHADOW_HEADER + gfnCount * 12 + (gfnCount + SHADOW_CHUNK - 1) / SHADOW_CHUNK * 4;
}

/** Frees the shadow of a guest that is gone: what KVM_SHADOW was. */
export function guestShadowFree(shadow: usize): void {
  if (shadow != 0) vfree(shadow, shadowBytes(load64(shadow)));
}

/** The 12-bit tag of (VM, gfn) in a token's top bits; never 0, so that a fresh page (token 0) is told apart. */
export function guestTag(kvm: usize, gfn: u64): u32 {
  const mixed = (gfn + 1) * 0x9e3779b97f4a7c15 ^ (<u64>load32(kvm + KVM_ID) + 1) * 0xc2b2ae3d27d4eb4f;
  return (<u32>(mixed >> 40) % 4095 + 1) << 20;
}

// @ts-ignore: decorator
@inline
function recordAddress(shadow: usize, gfn: u64): usize {
  return shadow + SHADOW_HEADER + <usize>(gfn << 3);
}

/** Number of invalidations that covered `gfn` so far, modulo 2^31. */
function epochOf(shadow: usize, gfn: u64): u32 {
  const count = load64(shadow);
  const pages = shadow + SHADOW_HEADER + <usize>(count << 3);
  const chunks = pages + <usize>(count << 2);
  return (atomicLoad32(pages + <usize>(gfn << 2)) + atomicLoad32(chunks + <usize>(gfn / SHADOW_CHUNK << 2))) & ~KNOWN;
}

/**
 * Notes that the content of gfns [start, end) may change from now on without a guest's doing. Called twice by each invalidation: before
 * it zaps and after its flush, when no old translation is left; so a write that used an old translation is never taken for a lasting one.
 */
export function guestInvalidated(kvm: usize, start: u64, end: u64): void {
  const shadow: usize = load32(kvm + KVM_SHADOW);
  if (shadow == 0) return;
  const count = load64(shadow);
  const last = min<u64>(end, count);
  const pages = shadow + SHADOW_HEADER + <usize>(count << 3);
  const chunks = pages + <usize>(count << 2);
  let gfn = start;
  while (gfn < last) {
    if ((gfn & (SHADOW_CHUNK - 1)) == 0 && last - gfn >= <u64>SHADOW_CHUNK) {
      atomicAdd32(chunks + <usize>(gfn / SHADOW_CHUNK << 2), 1);
      gfn += SHADOW_CHUNK;
    } else {
      atomicAdd32(pages + <usize>(gfn << 2), 1);
      gfn++;
    }
  }
}

/** The epoch to pass to guestWrote/guestRead, taken before the access. */
export function guestEpoch(kvm: usize, gfn: u64): u32 {
  const shadow: usize = load32(kvm + KVM_SHADOW);
  return shadow == 0 || gfn >= load64(shadow) ? 0 : epochOf(shadow, gfn);
}

/** Notes a private write of `token` by the vCPU that owns `gfn`; it is remembered only if no invalidation overlapped it. */
export function guestWrote(kvm: usize, gfn: u64, token: u32, epochBefore: u32): void {
  const shadow: usize = load32(kvm + KVM_SHADOW);
  if (shadow == 0 || gfn >= load64(shadow)) return;
  const record = recordAddress(shadow, gfn);
  store32(record, token);
  store32(record + 4, epochOf(shadow, gfn) == epochBefore ? epochBefore | KNOWN : 0);
}

/** Checks a private read that returned `token`; `owner`: this vCPU is the one whose writes the shadow holds. */
export function guestRead(kvm: usize, gfn: u64, token: u32, epochBefore: u32, owner: bool): void {
  const shadow: usize = load32(kvm + KVM_SHADOW);
  if (shadow == 0 || gfn >= load64(shadow)) return;
  if (token != 0 && (token & 0xfff00000) != guestTag(kvm, gfn)) {
    oops(ORACLE_GUEST_DATA, OOPS_GUEST_FOREIGN_DATA, load32(kvm + KVM_ID), <f64>gfn, token);
  }
  if (!owner) return;
  const record = recordAddress(shadow, gfn);
  if (load32(record + 4) != (epochBefore | KNOWN) || epochOf(shadow, gfn) != epochBefore) return;
  if (load32(record) != token) oops(ORACLE_GUEST_DATA, OOPS_GUEST_LOST_WRITE, load32(kvm + KVM_ID), <f64>gfn, token, load32(record));
}
