// Source lines of wasm frames: the line of a call in the kernel, through asc's source map and behind inlined functions.
import { readFileSync } from 'node:fs';
import type { SourceMapPayload } from 'node:module';
import { describe, expect, it } from 'vitest';
import { functionStarts, type SourceLine, SourceLines, wasmFrames } from '#src/explore/source-lines.js';
import { createShard } from '#src/host/shard.js';
import { DEBUG_RESTRICTEDMEM_UNBIND } from '#src/kernel/abi/debug.js';
import { SH_DEBUG_FLAGS } from '#src/kernel/abi/layout.js';

const wasm = readFileSync('dist/kernel/perturbed.wasm');
const map = JSON.parse(readFileSync('dist/kernel/perturbed.wasm.map', 'utf8')) as SourceMapPayload;

/** The stack inside the kernel's call of prDebug in restrictedmemUnbind. */
function stackInUnbind(): string {
  let stack = '';
  const options = { build: 'perturbed', pfnCount: 4096, maxTasks: 4, memoryPages: 1024 } as const;
  const { x, buffer } = createShard(options, { prDebug: () => (stack = new Error('here').stack!) });
  const file = x.memfdRestricted(0, 0, -1, 0);
  new Uint8Array(buffer)[SH_DEBUG_FLAGS + DEBUG_RESTRICTEDMEM_UNBIND] = 1;
  x.restrictedmemUnbind(file, 0n, 1n, 0);
  return stack;
}

function textOf({ file, line }: SourceLine): string {
  return readFileSync(file, 'utf8').split('\n')[line - 1]!;
}

describe('source lines', () => {
  const stack = stackInUnbind();

  it('are those of the call, though prDebug is inlined and asks for a flag by an accessor first', () => {
    const [innermost] = new SourceLines(wasm, map).ofStack(stack);
    expect(['restrictedmemUnbind', 'prDebug']).toContain(innermost!.function);
    expect(['src/kernel/mm/restrictedmem.ts', 'src/kernel/debug.ts']).toContain(innermost!.file);
    expect(textOf(innermost!)).toMatch(/prDebug/i);
  });

  it('are of the frame alone: nothing is found in a function that the map does not speak of', () => {
    const none = new SourceLines(wasm, { ...map, mappings: '' });
    expect(none.ofStack(stack)).toEqual([]);
  });

  it('know where each function begins', () => {
    const starts = functionStarts(wasm);
    const [frame] = wasmFrames(stack);
    expect(frame).toMatchObject({ name: 'restrictedmemUnbind' });
    expect(starts[frame!.index]).toBeLessThan(frame!.offset);
    expect(starts[frame!.index + 1]).toBeGreaterThan(frame!.offset);
    expect(starts[0]).toBeUndefined(); // an import
  });
});
