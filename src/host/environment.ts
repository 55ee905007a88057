// The environment fingerprint that every result carries: what makes two runs comparable, and what makes them noisy.
import { readFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

export interface Environment {
  cpu: string;
  cores: number;
  memoryBytes: number;
  kernel: string;
  arch: string;
  node: string;
  v8: string;
  /** Of the last minute before the run. */
  loadAverage: number;
  /** Version of this package. */
  version: string;
  /** Commit of the checkout this code runs from; absent in an installed package. */
  commit?: string;
  /** CPUs that the process may run on, as the kernel lists them: `0-3,8`. Linux only, as all that follows. */
  cpusAllowed?: string;
  /** CPUs' worth of time that the control group allows; absent without a limit. */
  cpuQuota?: number;
  /** Frequency governor of CPU 0; absent in most virtual machines. */
  governor?: string;
}

function textOf(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/** The checkout's git directories: its own, and, of a linked worktree, the one it shares with others. */
function gitFolders(): string[] {
  const own = path.join(ROOT, '.git');
  const linked = textOf(own)?.match(/^gitdir: (.+)$/)?.[1];
  if (linked === undefined) return [own];
  const folder = path.resolve(ROOT, linked);
  return [folder, path.resolve(folder, textOf(path.join(folder, 'commondir')) ?? '.')];
}

function commit(): string | undefined {
  const folders = gitFolders();
  const read = (name: string): string | undefined =>
    folders.map((folder) => textOf(path.join(folder, name))).find((text) => text !== undefined);
  const head = read('HEAD');
  if (head === undefined || !head.startsWith('ref: ')) return head;
  const ref = head.slice(5);
  const packed = read('packed-refs')?.split('\n');
  return read(ref) ?? packed?.find((line) => line.endsWith(` ${ref}`))?.split(' ')[0];
}

/** `max 100000` or `50000 100000`: quota and period in microseconds. kernel: Documentation/admin-guide/cgroup-v2.rst, cpu.max. */
function cpuQuota(): number | undefined {
  const group = textOf('/proc/self/cgroup')?.match(/^0::(.*)$/m)?.[1];
  if (group === undefined) return undefined;
  const [quota, period] = (textOf(path.join('/sys/fs/cgroup', group, 'cpu.max')) ?? 'max').split(' ');
  return quota === 'max' ? undefined : Number(quota) / Number(period);
}

/** What this machine, at this moment, is. */
export function environmentFingerprint(): Environment {
  const all = cpus();
  const optional = {
    commit: commit(),
    cpusAllowed: textOf('/proc/self/status')?.match(/^Cpus_allowed_list:\s*(\S+)$/m)?.[1],
    cpuQuota: cpuQuota(),
    governor: textOf('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor'),
  };
  const known = Object.entries(optional).filter(([, value]) => value !== undefined);
  return {
    cpu: all[0]?.model.trim() ?? 'unknown CPU',
    cores: all.length,
    memoryBytes: totalmem(),
    kernel: release(),
    arch: arch(),
    node: process.version,
    v8: process.versions.v8,
    loadAverage: Math.round((loadavg()[0] ?? 0) * 100) / 100,
    version: (JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as { version: string }).version,
    ...Object.fromEntries(known),
  };
}

/** What differs between the machines of two runs so that their numbers do not compare. What one of them does not tell is no difference. */
export function machineDifferences(a: Environment, b: Environment): string[] {
  const keys = ['cpu', 'cores', 'arch', 'node', 'v8', 'cpusAllowed', 'cpuQuota'] as const;
  return keys
    .filter((key) => a[key] !== undefined && b[key] !== undefined && a[key] !== b[key])
    .map((key) => `${key} ${String(a[key])} / ${String(b[key])}`);
}
