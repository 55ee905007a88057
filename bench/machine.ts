// What the suites measure on: a shard with guests whose memory is one private slot, gfn equal to file offset.
import { createShard, type Shard, type ShardOptions } from '../src/host/shard.js';
import { KVM_MEM_PRIVATE, KVM_MEMORY_ATTRIBUTE_PRIVATE } from '../src/kernel/abi/kvm.js';
import { FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE } from '../src/kernel/abi/mm.js';

const PAGE = 4096;
const FIRST_PFN = 512;
export const PRIVATE_WRITE = 3; // ACCESS_WRITE | ACCESS_PRIVATE

export interface Guest {
  kvm: number;
  vcpu: number;
  file: number;
  pages: number;
}

/** A shard with `pages` pages of free memory; without inline oracles unless told. */
export function bootShard(pages: number, options: Partial<ShardOptions> = {}): Shard {
  const shard = createShard({ build: 'fast', pfnCount: pages + FIRST_PFN, maxTasks: 8, oracles: false, ...options });
  shard.x.addMemory(FIRST_PFN, pages + FIRST_PFN);
  return shard;
}

function must(what: string, result: number): number {
  if (result >>> 0 >= 0xfffff000) throw new Error(`${what} failed: ${result | 0}`);
  return result >>> 0;
}

/** A guest with one vCPU and one private slot of `pages` pages at gfn 0, which holds no page yet. */
export function createGuest(shard: Shard, pages: number, home = 0, interleave = false): Guest {
  const { x } = shard;
  const kvm = must('KVM_CREATE_VM', x.sysCreateVm(1, 0, home));
  const file = must('memfd_restricted', x.sysCreateFile(interleave ? 1 : 0, home, 0));
  must('ftruncate', x.sysFileSetSize(file, pages * PAGE));
  must('memslot', x.sysSetMemslot(kvm, 0, 0, KVM_MEM_PRIVATE, 0, pages * PAGE, 0x7f0000000000, file, 0));
  must('attributes', x.sysSetMemoryAttributes(kvm, 0, pages, KVM_MEMORY_ATTRIBUTE_PRIVATE));
  const guest = { kvm, vcpu: must('KVM_CREATE_VCPU', x.sysCreateVcpu(kvm)), file, pages };
  must('touch', x.sysTouch(guest.vcpu, 0, PRIVATE_WRITE, 1));
  punch(shard, guest, pages);
  return guest;
}

/** Punches the guest's first `pages` pages out of its file. Returns the pages the file still holds. */
export function punch({ x }: Shard, { file }: Guest, pages: number, fanout = false): number {
  const error = fanout
    ? x.sysPunchHoleFanout(file, 0, pages * PAGE)
    : x.sysFileFallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, pages * PAGE);
  must('punch', error);
  return x.sysFilePages(file);
}

/** Ends a shard's measurements: the audit must find nothing. */
export function closeShard(shard: Shard): void {
  const found = shard.x.sysAudit();
  if (found !== 0) throw new Error(`the audit after the benchmark found ${found} violations`);
}
