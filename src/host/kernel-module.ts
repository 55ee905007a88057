// Loads a compiled kernel build and instantiates it over a shared memory: one instance per thread.
import { readFileSync } from 'node:fs';
import type { KernelExports } from '#kernel-exports';
import { nowNs } from './clock.js';

/** `fast-stat` is `fast` with lock statistics. */
export type BuildName = 'fast' | 'fast-stat' | 'perturbed';

const modules = new Map<string, WebAssembly.Module>();

/** The compiled module of a build; compiled once a thread (V8 shares the code of a module posted to other threads). */
export function kernelModule(build: string): WebAssembly.Module {
  let module = modules.get(build);
  if (module === undefined) {
    module = new WebAssembly.Module(readFileSync(new URL(`../../kernel/${build}.wasm`, import.meta.url)));
    modules.set(build, module);
  }
  return module;
}

/** What the kernel calls on the host's side. All have a default. */
export interface KernelEnvironment {
  stopped(): never;
  prDebug(site: number, a: number, b: number, c: number, d: number, e: number, f: number): void;
  userHook(vmId: number, slotId: number, startGfn: number, endGfn: number): void;
}

/** x86 shows stores in their order, and never before an earlier load: Intel SDM volume 3, section 9.2.2; AMD APM volume 2, section 7.2. */
const storesInOrder = process.arch === 'x64' || process.arch === 'ia32' ? 1 : 0;

function unused(): never {
  throw new Error('the scheduler calls belong to the controlled build');
}

/** Instantiates a build over `memory`. The instance's `current` is unset: attach a task before any other call. */
export function instantiateKernel(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  environment: KernelEnvironment,
): KernelExports {
  const instance = new WebAssembly.Instance(module, {
    env: { memory, nowNs, storesInOrder, point: unused, futexWait: unused, futexWake: unused, ...environment },
  });
  return instance.exports as unknown as KernelExports;
}
