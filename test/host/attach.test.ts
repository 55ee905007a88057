// Joining a host that has a hook of the user's.
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { attachHost } from '#src/host/attach.js';
import { Host } from '#src/host/host.js';

it('a thread that joins a host with a hook of the user brings the function, or is told to', async () => {
  const module = join(mkdtempSync(join(tmpdir(), 'hook-')), 'hook.mjs');
  writeFileSync(module, 'export default () => {};\n');
  const host = await Host.create({ memory: '64MiB', hook: module });
  const file = host.createRestrictedMem({ size: '1MiB' });
  const vm = host.createVm();
  vm.setMemslot({ id: 0, startGfn: 0, pageCount: 256, file });
  expect(() => attachHost(host.handle())).toThrow('pass the function as the second argument');
  const calls: number[][] = [];
  const joined = attachHost(host.handle(), (...range) => calls.push(range));
  expect(joined.x.sysFileFallocate(file.address, 3, 4096 * 8, 4096 * 4)).toBe(0);
  expect(calls.map(([, slot, start, end]) => [slot, start, end])).toEqual([[0, 8, 12]]);
  joined.x.taskDetach();
  await host.close();
});
