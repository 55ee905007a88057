// How a guest is made, and what is set up in the kernel before it has vCPUs and memory.
import { z } from 'zod';
import { handle } from './arguments.js';
import { boolean, checkOptions, whole } from './options.js';
import type { Shard } from './shard.js';

/** How a guest is made. */
export interface VmOptions {
  /** How many vCPUs it has, 0 to 1024; 1 if not said. */
  vcpus?: number;
  /** An SNP guest (default) or an ordinary one. */
  snp?: boolean;
  /** Of an SNP guest: its ASID, 1 to 1023, or 0 (if not said) for the next free one. KernelError: EINVAL above 1023, EBUSY when another guest has it or none is free. */
  asid?: number;
  /** The partition whose pages it takes first; 0 if not said. */
  homePartition?: number;
  /** The shard it lives in; the one whose memory is least used if not said. */
  shard?: number;
  /** Its VMM is a process of its own, which can be swapped (actors of kind `reclaimer`). */
  process?: boolean;
  /** It has an interrupt controller in the kernel (actors of kind `interrupter`). */
  irqchip?: boolean;
}

const MAX_VCPUS = 1024;
const vmOptions = z.strictObject({
  vcpus: whole(0, MAX_VCPUS).optional(),
  snp: boolean.optional(),
  asid: whole(0, 2 ** 32 - 1).optional(),
  homePartition: whole(0, Number.MAX_SAFE_INTEGER).optional(),
  shard: whole(0, Number.MAX_SAFE_INTEGER).optional(),
  process: boolean.optional(),
  irqchip: boolean.optional(),
} satisfies Record<keyof VmOptions, z.ZodType>);

/** Looks at the options of a guest. Throws UsageError. */
export function checkVmOptions(options: VmOptions): void {
  checkOptions('createVm', vmOptions, options);
}

/** Gives a new guest its process and interrupt controller; the process, 0 without one. Throws KernelError when out of memory. @context no vCPU, no memory yet. */
export function equipVm({ x }: Shard, vm: number, { process = false, irqchip = false }: VmOptions): number {
  if (irqchip) x.kvmCreateIrqchip(vm);
  return process ? handle('process', x.processCreate(vm) || -12, { vm }) : 0;
}
