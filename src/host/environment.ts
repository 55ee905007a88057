// The environment fingerprint that every result carries: what makes two runs comparable.
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
}

export function environmentFingerprint(): Environment {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown CPU',
    cores: all.length,
    memoryBytes: totalmem(),
    kernel: release(),
    arch: arch(),
    node: process.version,
    v8: process.versions.v8,
    loadAverage: Math.round((loadavg()[0] ?? 0) * 100) / 100,
  };
}
