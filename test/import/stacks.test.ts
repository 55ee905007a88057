// function_graph text and KASAN reports, in lines of our own making: what they show in our terms, and what damaged ones get.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { UsageError } from '#src/host/errors.js';
import { MODELLED } from '#src/import/graph-steps.js';
import { importLog, type ImportResult } from '#src/import/import.js';

const folder = mkdtempSync(join(tmpdir(), 'stacks-'));
afterAll(() => rmSync(folder, { recursive: true }));

function imported(...lines: string[]): ImportResult {
  const path = join(folder, 'log.txt');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return importLog(path, () => 0);
}

const FAULT = [
  ' 3)               |  kvm_mmu_page_fault [kvm]() {',
  ' 3)   0.500 us    |    kvm_vcpu_gfn_to_memslot [kvm]();',
  ' 3)               |    __gfn_to_pfn_memslot [kvm]() {',
  ' 3) + 12.000 us   |      get_user_page.constprop.0();',
  ' 3) + 13.000 us   |    }',
  ' 3)   1.500 us    |    kvm_tdp_mmu_map [kvm]();',
  ' 3) + 16.000 us   |  } /* kvm_mmu_page_fault [kvm] */',
];

const EXPLAINED = [
  'one fault (kvm_mmu_page_fault), 16.00 us',
  'steps of our model, by their first call:',
  '  kvm_mmu_page_fault once, 16.00 us, 1.00 us of it its own: kvmMmuPageFault',
  '  kvm_vcpu_gfn_to_memslot once, 0.50 us, 0.50 us of it its own: gfnToMemslot',
  '  __gfn_to_pfn_memslot once, 13.00 us, 1.00 us of it its own: sharedGetPfn',
  '  kvm_tdp_mmu_map once, 1.50 us, 1.50 us of it its own: tdpMap',
  'not modelled as steps of their own: 1 function, called once, 12.00 us their own; longest get_user_page 12.00 us',
];

describe('function_graph text', () => {
  it('gives the faults, the steps of our model and their times without what they called', () => {
    const { explanation, understood, unread } = imported(...FAULT);
    expect({ understood, unread }).toEqual({ understood: 7, unread: [] });
    expect(explanation).toEqual(EXPLAINED);
  });

  it('nests the calls of each CPU by themselves', () => {
    const other = FAULT.map((line) => line.replace(' 3)', ' 0)'));
    const mixed = FAULT.flatMap((line, n) => [line, other[n]!]);
    expect(imported(...mixed).explanation.slice(0, 4)).toEqual([
      '2 faults (kvm_mmu_page_fault), 16.00 us to 16.00 us',
      'steps of our model, by their first call:',
      '  kvm_mmu_page_fault 2 times, 32.00 us, 2.00 us of it its own: kvmMmuPageFault',
      '  kvm_vcpu_gfn_to_memslot 2 times, 1.00 us, 1.00 us of it its own: gfnToMemslot',
    ]);
  });

  it('is read as trace-cmd prints it, and with task and time columns', () => {
    const traceCmd = FAULT.map((line) => {
      const kind = line.includes('}') ? 'exit' : 'entry';
      return `  CPU 0/KVM-71 [003]  10.000001: funcgraph_${kind}: ${line.slice(3)}`;
    });
    const columns = FAULT.map((line) => `  10.000001 |  3)  vcpu-71  |${line.slice(3)}`);
    expect(imported(...traceCmd).explanation).toEqual(EXPLAINED);
    expect(imported(...columns).explanation).toEqual(EXPLAINED);
  });

  it('says which calls it has only one end of', () => {
    const { explanation } = imported(
      ' 3)   2.000 us    |  }',
      ' 3)               |  kvm_mmu_page_fault [kvm]() {',
      ' 3)   0.500 us    |    kvm_tdp_mmu_map [kvm]();',
    );
    expect(explanation[0]).toBe('no whole call of kvm_mmu_page_fault: no fault from beginning to end');
    expect(explanation.slice(-2)).toEqual([
      '1 call began before the log',
      '1 call had not returned where the log ends, and time is not counted',
    ]);
  });

  it('names functions of our kernel that there are', () => {
    const ours = execFileSync('git', ['grep', '-hoE', 'export function \\w+', '--', 'src/kernel'], {
      encoding: 'utf8',
    });
    expect(ours.split('\n')).toEqual(
      expect.arrayContaining(Object.values(MODELLED).map((name) => `export function ${name}`)),
    );
  });

  it('of which a line is damaged has that line told with what was expected', () => {
    const { unread, understood } = imported(...FAULT.slice(0, 6), ' 3) + 16.0');
    expect({ unread, understood }).toEqual({
      understood: 6,
      unread: [
        {
          line: 7,
          reason: 'damaged function_graph call line, expected `CPU) [time us] | name() {`, `name();` or `}`: 3) + 16.0',
          damaged: 'function_graph call',
        },
      ],
    });
    expect(() => imported(' 3) + 16.0')).toThrow(UsageError);
    expect(() => imported(' 3) + 16.0')).toThrow(/log\.txt:1: damaged function_graph call line, expected/);
  });
});

const report = (use: string, freed: string): string[] => [
  '[   61.5][ T77] BUG: KASAN: slab-use-after-free in ' + use + '+0x10/0x20 virt/kvm/some.c:12',
  '[   61.5][ T77] Write of size 4 at addr ffff888000012340 by task worker/77',
  '',
  '[   61.5][ T77] CPU: 1 UID: 0 PID: 77 Comm: worker Not tainted',
  '[   61.5][ T77] Call Trace:',
  '[   61.5][ T77]  <TASK>',
  '[   61.5][ T77]  kasan_report+0x1/0x2 mm/kasan/report.c:1',
  `[   61.5][ T77]  ${use}+0x10/0x20 virt/kvm/some.c:12`,
  '[   61.5][ T77]  ? unsure+0x1/0x2',
  '[   61.5][ T77]  caller virt/kvm/other.h:3 [inline]',
  '[   61.5][ T77]  __fput+0x1/0x2',
  '[   61.5][ T77]  </TASK>',
  '[   61.5][ T77] Allocated by task 78:',
  '[   61.5][ T77]  __kmalloc+0x1/0x2 mm/slub.c:1',
  '[   61.5][ T77]  maker+0x1/0x2 [kvm]',
  '[   61.5][ T77] Freed by task 79:',
  '[   61.5][ T77]  kfree+0x1/0x2',
  `[   61.5][ T77]  ${freed}+0x1/0x2 [kvm]`,
];

describe('a KASAN report', () => {
  it('tells who used, allocated and freed the object, without the functions that every report has', () => {
    const { explanation, understood, lines } = imported(...report('some_use', 'some_free'));
    expect({ understood, lines }).toEqual({ understood: 17, lines: 18 });
    expect(explanation).toEqual([
      'KASAN, slab-use-after-free in some_use (virt/kvm/some.c:12): a write of 4 bytes at 0xffff888000012340 by worker/77',
      '  used by some_use < caller < __fput',
      '  allocated by task 78, maker',
      '  freed by task 79, some_free',
      '  no bug of the catalogue has these stacks',
    ]);
  });

  it('is a bug of the catalogue when use and free are that bug’s, and the command that shows it is named', () => {
    const last = (use: string, freed: string): string => imported(...report(use, freed)).explanation.at(-1)!;
    expect(last('kvm_gmem_release', 'kvm_set_memory_region')).toMatch(/^ {2}this is B20, .*: rmptorture repro B20$/);
    expect(last('sev_clflush_pages', 'sev_mem_enc_unregister_region')).toMatch(/repro B53$/);
    expect(last('__kvm_io_bus_write', 'kvm_io_bus_unregister_dev')).toMatch(/repro B40$/);
    expect(last('kvm_gmem_release', 'some_free')).toMatch(/no bug of the catalogue/);
    expect(last('some_use', 'kvm_set_memory_region')).toMatch(/no bug of the catalogue/);
  });

  it('of which a line is damaged has that line told with what was expected', () => {
    const { unread } = imported(...report('some_use', 'some_free').slice(0, 1), 'Write of size 4 at addr');
    expect(unread).toMatchObject([
      { line: 2, reason: expect.stringMatching(/^damaged KASAN access line, expected `Read\|Write of size/) as string },
    ]);
    expect(() => imported('BUG: KASAN: slab-')).toThrow(/log\.txt:1: damaged KASAN report line, expected/);
  });

  it('has siblings: the call trace of any kernel message', () => {
    expect(
      imported('Call Trace:', ' dump_stack+0x1/0x2', ' rmpupdate+0x1/0x2', ' caller+0x1/0x2 [kvm]').explanation,
    ).toEqual(['called from rmpupdate < caller']);
  });
});
