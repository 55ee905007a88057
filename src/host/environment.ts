// The environment fingerprint that every result carries: what makes two runs comparable.
import { readFileSync } from 'node:fs';
import { arch, cpus, loadavg, release, totalmem } from 'node:os';

export interface Environment {
  cpu: string;
  cores: number;
  memoryBytes: number;
  kernel: string;
  arch: string;
  node: string;
  v8: string;
  loadAverage: number;
  /** Commit of the checkout this code runs from; absent in an installed package. */
  commit?: string;
}

/** Content of a file in the checkout's git directory, if there is one. */
function git(name: string): string | undefined {
  try {
    return readFileSync(new URL(`../../../.git/${name}`, import.meta.url), 'utf8').trim();
  } catch {
    return undefined;
  }
}

function commit(): string | undefined {
  const head = git('HEAD');
  if (head === undefined || !head.startsWith('ref: ')) return head;
  const ref = head.slice(5);
  return (
    git(ref) ??
    git('packed-refs')
      ?.split('\n')
      .find((line) => line.endsWith(` ${ref}`))
      ?.split(' ')[0]
  );
}

export function environmentFingerprint(): Environment {
  const all = cpus();
  const at = commit();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown CPU',
    cores: all.length,
    memoryBytes: totalmem(),
    kernel: release(),
    arch: arch(),
    node: process.version,
    v8: process.versions.v8,
    loadAverage: Math.round((loadavg()[0] ?? 0) * 100) / 100,
    ...(at === undefined ? {} : { commit: at }),
  };
}

/** What differs between the machines of two runs so that their numbers do not compare. */
export function machineDifferences(a: Environment, b: Environment): string[] {
  const keys = ['cpu', 'cores', 'arch', 'node', 'v8'] as const;
  return keys.filter((key) => a[key] !== b[key]).map((key) => `${key} ${String(a[key])} / ${String(b[key])}`);
}
