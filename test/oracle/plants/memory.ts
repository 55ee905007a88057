// Misuse of the heap, of pages and of files: real calls where there is one that leads to the check, else a word that nothing in the kernel would leave so.
import { TASK_STACK, TASK_STACK_END } from '#src/kernel/abi/layout.js';
import { FILE_COUNT, FILE_MAGIC, RM_MAGIC, RM_MEMFD, SGP_READ, SHMEM_MAGIC } from '#src/kernel/abi/mm.js';
import * as codes from '#src/kernel/abi/oops.js';
import { HOST_PF_RMP_WRITE, PG_LEVEL_4K } from '#src/kernel/abi/snp.js';
import { V_B02 } from '#src/kernel/abi/variants.js';
import type { TestGuest } from '../guest.js';
import type { Mistake, Plant } from './plant.js';

const FILES = 'mm/restrictedmem-file.ts';
/** Size class of an object of 64 bytes. */
const CLASS_64 = 1;

/** An object of 64 bytes that was allocated and freed, as it should be. */
function freedObject({ k: { x } }: TestGuest): number {
  const object = x.kmalloc(64) >>> 0;
  x.kfree(object, 64);
  return object;
}

/** A page that was allocated, and freed as it should be. */
function freedPage({ k: { x } }: TestGuest): number {
  const pfn = x.allocPages(0, 0) >>> 0;
  x.putPage(pfn);
  return pfn;
}

/** What an object's magic says is gone although somebody still has it. `use` is the same call before and after. */
function withoutMagic({ k }: TestGuest, object: number, magic: number, use: () => unknown): Mistake {
  use();
  const expected = k.u32(object + magic);
  return {
    values: [object, expected],
    make() {
      k.setU32(object + magic, 0);
      use();
    },
  };
}

const HEAP: Plant[] = [
  {
    code: codes.OOPS_HEAP_CORRUPT,
    at: 'heap.ts',
    title: 'an object that is freed twice',
    prepare(guest) {
      const object = freedObject(guest);
      return { values: [object, CLASS_64], make: () => guest.k.x.kfree(object, 64) };
    },
  },
  {
    code: codes.OOPS_HEAP_CORRUPT,
    at: 'heap.ts',
    title: 'an object that was written to after its free, when it is allocated next',
    prepare(guest) {
      const object = freedObject(guest);
      return {
        values: [object, CLASS_64],
        make() {
          guest.k.setU32(object + 4, 7);
          guest.k.x.kmalloc(64);
        },
      };
    },
  },
  {
    code: codes.OOPS_STACK_OVERFLOW,
    at: 'task.ts',
    title: 'local structs that do not fit on the stack of their task',
    prepare({ k: { x } }) {
      const room = TASK_STACK_END - TASK_STACK;
      x.stackPush(room);
      x.stackPop(room);
      return { values: [0], make: () => x.stackPush(room + 8) };
    },
  },
];

const PAGES: Plant[] = [
  {
    code: codes.OOPS_DOUBLE_FREE,
    at: 'mm/page-region.ts',
    title: 'memory that is given to the allocator twice',
    prepare({ k: { x } }) {
      x.addMemory(100, 110);
      return { values: [105], make: () => x.addMemory(105, 115) };
    },
  },
  {
    code: codes.OOPS_REFCOUNT,
    at: 'mm/page.ts',
    title: 'a reference that is dropped twice',
    prepare(guest) {
      const pfn = freedPage(guest);
      return { values: [pfn, 0], make: () => guest.k.x.putPage(pfn) };
    },
  },
  {
    code: codes.OOPS_REFCOUNT,
    at: 'mm/page.ts',
    title: 'a reference to a page that is free',
    prepare(guest) {
      const pfn = freedPage(guest);
      return { values: [pfn, 0], make: () => guest.k.x.getPage(pfn) };
    },
  },
  {
    code: codes.OOPS_FREE_ASSIGNED,
    at: 'mm/page.ts',
    title: 'a page that is freed while it is assigned',
    prepare({ k: { x } }) {
      const pfn = x.allocPages(0, 0) >>> 0;
      return {
        values: [pfn, 1, 0],
        make() {
          x.rmpMakePrivate(pfn, 0n, PG_LEVEL_4K, 0, 0);
          x.putPage(pfn);
        },
      };
    },
  },
  {
    code: codes.OOPS_FREE_IN_USE,
    at: 'mm/page.ts',
    title: 'a page that is freed while a VMRUN uses it',
    prepare({ k: { x } }) {
      const pfn = x.allocPages(0, 0) >>> 0;
      return {
        values: [pfn],
        make() {
          x.rmpMarkInUse(pfn, 0);
          x.putPage(pfn);
        },
      };
    },
  },
  {
    code: codes.OOPS_HOST_WRITE_RMP,
    at: 'kvm/shared.ts',
    title: 'a page of the VMM that is assigned, when the VMM writes to it',
    prepare({ k: { x }, vm }) {
      const pfn = x.getUserPage(vm, 5n) >>> 0;
      x.putPage(pfn);
      x.hostWriteUser(vm, 5n << 12n, 7);
      return {
        values: [pfn, HOST_PF_RMP_WRITE],
        make() {
          x.rmpMakePrivate(pfn, 0n, PG_LEVEL_4K, 0, 0);
          x.hostWriteUser(vm, 5n << 12n, 8);
        },
      };
    },
  },
];

const FILE: Plant[] = [
  {
    code: codes.OOPS_USE_AFTER_FREE,
    at: FILES,
    title: 'a file that is gone',
    prepare: (guest) => withoutMagic(guest, guest.file, FILE_MAGIC, () => guest.k.x.sysFilePages(guest.file)),
  },
  {
    code: codes.OOPS_USE_AFTER_FREE,
    at: FILES,
    title: 'a file whose restrictedmem object is gone',
    prepare(guest) {
      const { x } = guest.k;
      return withoutMagic(guest, x.restrictedmemOf(guest.file) >>> 0, RM_MAGIC, () => x.sysFilePages(guest.file));
    },
  },
  {
    code: codes.OOPS_USE_AFTER_FREE,
    at: FILES,
    title: 'a file that is released by the mapping of its inode, which is another (B02)',
    options: { variants: [V_B02] },
    prepare({ k, file }) {
      const magic = k.u32(k.x.restrictedmemOf(file) + RM_MAGIC);
      const release = (mapping?: number): void => {
        const other = k.x.sysCreateFile(0, 0, 0) >>> 0;
        if (mapping !== undefined) k.x.testSetInodeMapping(other, mapping);
        k.x.sysFilePut(other);
      };
      release();
      return { values: [0, magic], make: () => release(k.alloc(16)) };
    },
  },
  {
    code: codes.OOPS_USE_AFTER_FREE,
    at: 'mm/shmem.ts',
    title: 'a hidden file that is gone',
    prepare(guest) {
      const { k, file } = guest;
      const memfd = k.u32(k.x.restrictedmemOf(file) + RM_MEMFD);
      const found = k.alloc(8);
      return withoutMagic(guest, memfd, SHMEM_MAGIC, () => {
        k.x.shmemGetFolio(memfd, 0n, found, 0, SGP_READ);
      });
    },
  },
  {
    code: codes.OOPS_REFCOUNT,
    at: FILES,
    title: 'a descriptor of a file that has none left',
    prepare({ k, file }) {
      k.x.fgetFile(file);
      return {
        values: [file, 0],
        make() {
          k.setU32(file + FILE_COUNT, 0);
          k.x.fgetFile(file);
        },
      };
    },
  },
  {
    code: codes.OOPS_REFCOUNT,
    at: FILES,
    title: 'a descriptor that is closed of a file that has none left',
    prepare({ k, file }) {
      k.x.fgetFile(file);
      k.x.fputFile(file);
      return {
        values: [file, 0],
        make() {
          k.setU32(file + FILE_COUNT, 0);
          k.x.fputFile(file);
        },
      };
    },
  },
];

export const MEMORY: readonly Plant[] = [...HEAP, ...PAGES, ...FILE];
