// How a guest is made, and what is set up in the kernel before it has vCPUs and memory.
import { handle } from './arguments.js';
import type { Shard } from './shard.js';

/** How a guest is made. */
export interface VmOptions {
  vcpus?: number;
  /** An SNP guest (default) or an ordinary one. */
  snp?: boolean;
  asid?: number;
  homePartition?: number;
  /** The shard it lives in; the one whose memory is least used if not said. */
  shard?: number;
  /** Its VMM is a process of its own, which can be swapped (actors of kind `reclaimer`). */
  process?: boolean;
  /** It has an interrupt controller in the kernel (actors of kind `interrupter`). */
  irqchip?: boolean;
}

/** Gives a new guest its process and interrupt controller; the process, 0 without one. Throws KernelError when out of memory. @context no vCPU, no memory yet. */
export function equipVm({ x }: Shard, vm: number, { process = false, irqchip = false }: VmOptions): number {
  if (irqchip) x.kvmCreateIrqchip(vm);
  return process ? handle('process', x.processCreate(vm) || -12, { vm }) : 0;
}
