// What importers make of logs to be run: scenarios that fail or return as the log says, profiles that replay memslots. Lines of our own making.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { afterAll, describe, expect, it } from 'vitest';
import { UsageError } from '#src/host/errors.js';
import { explore } from '#src/explore/explore.js';
import type { Scenario } from '#src/explore/scenario.js';
import { scenarioTarget } from '#src/explore/scenario-target.js';
import { scenarioSchema } from '#src/explore/schema.js';
import { strategyNamed } from '#src/explore/strategies/named.js';
import { importLog, type ImportedDocument, type ImportResult } from '#src/import/import.js';
import { planShards, bootShards } from '#src/host/boot.js';
import { createGuest, type ReplayDifference } from '#src/torture/guests.js';
import { readDocument } from '#src/torture/document.js';
import { memslotsSchema, profileSchema } from '#src/torture/schema.js';
import { bootKernel } from '../kernel/harness.js';

const folder = mkdtempSync(join(tmpdir(), 'import-scenarios-'));
afterAll(() => rmSync(folder, { recursive: true }));

const k = bootKernel();
let files = 0;

function fileOf(text: string, extension = 'txt'): string {
  const path = join(folder, `log${files++}.${extension}`);
  writeFileSync(path, text);
  return path;
}

const imported = (lines: readonly string[], options = {}): ImportResult =>
  importLog(fileOf(`${lines.join('\n')}\n`), (lo, hi) => k.x.pageState(lo, hi), options);

const documentOf = (result: ImportResult, kind: ImportedDocument['kind']): string | undefined =>
  result.documents.find((document) => document.kind === kind)?.text;

const scenarioOf = (lines: readonly string[]): Scenario =>
  scenarioSchema.parse(parse(documentOf(imported(lines), 'scenario')!)) as Scenario;

/** What comes of the scenario: the failure's kind, or that there was none. */
function outcome(scenario: Scenario, executions = 100): string {
  const { violation, verdict } = explore(scenarioTarget(scenario), strategyNamed('portfolio'), { executions, seed: 1 });
  return violation?.kind ?? verdict;
}

const update = (pfn: string, level: number, code: number): string =>
  `[1.0] SEV-SNP: RMPUPDATE failed for PFN ${pfn}, pg_level: ${level}, ret: ${code}`;

describe('a refused RMPUPDATE', () => {
  it.each([
    ['bad input: a 2M page that is not aligned', 'a1234', 2, 1],
    ['bad input: a page beyond the table', 'a1234', 1, 1],
    ['permission', 'a1234', 1, 2],
    ['permission, of a 2M page', 'a1200', 2, 2],
    ['in use', 'a1234', 1, 3],
    ['in use, of a 2M page', 'a1200', 2, 3],
    ['overlap, of a 4K page', 'a1234', 1, 4],
    ['overlap, of the first 4K page of a region', 'a1200', 1, 4],
    ['overlap, of a 2M page', 'a1200', 2, 4],
  ])('is refused with the same code again: %s', (_, pfn, level, code) => {
    const scenario = scenarioOf([update(pfn, level, code)]);
    expect(scenario.expect).toEqual([{ thread: 'host', call: 0, result: code }]);
    expect(outcome(scenario)).toBe('no-violation');
    expect(outcome({ ...scenario, expect: [{ thread: 'host', call: 0, result: 0 }] })).toBe('expectation');
  });

  it('beside the end of an RMP table needs no assumption: the first entry counts the pages of the table', () => {
    const lines = [
      update('7740', 1, 2),
      '[1.0] SEV-SNP: PFN 0x7740 unassigned, dumping non-zero entries in 2M PFN region: [0x7600 - 0x7800]',
      '[1.0] SEV-SNP: PFN: 0x7600, [0x80000000000000fd - 0x0000000000000000]',
      '[1.0] SEV-SNP: PFN: 0x7601, [0x8000000000000005 - 0x0000000000000000]',
    ];
    expect(scenarioOf(lines)).toMatchObject({ host: { rmpTable: { start: 512, pages: 32 } } });
    expect(documentOf(imported(lines), 'scenario')).not.toContain('Assumed');
    expect(outcome(scenarioOf(lines))).toBe('no-violation');
  });

  it('takes the entries that the log shows', () => {
    const scenario = scenarioOf([
      update('1234', 1, 2),
      '[1.0] SEV-SNP: PFN 0x1234, RMP entry: [0x0018000000007005 - 0x000000000000000f]',
      '[1.0] SEV-SNP: rmpupdate failed, ret: 4, pfn: 5600, npages: 512, level: 2, retrying (max: 8)...',
      '[1.0] SEV-SNP: PFN: 0x5611, [0x0018000000009001 - 0x0000000000000000]',
    ]);
    expect(scenario.setup).toEqual([
      { op: 'rmp-entry', pfn: 0x234, lo: '0x18000000007005', hi: '0xf' },
      { op: 'rmp-entry', pfn: 0x411, lo: '0x18000000009001' },
    ]);
    expect(scenario.expect?.map((each) => 'result' in each && each.result)).toEqual([2, 4]);
    expect(outcome(scenario)).toBe('no-violation');
  });

  it('leaves out what does not fit into a small host, and says so', () => {
    const lines = Array.from({ length: 20 }, (_, n) => update(((n + 1) * 512).toString(16), 1, 3));
    const result = imported(lines);
    expect(documentOf(result, 'scenario')).toContain('# Left out: line 15, pfn 0x1e00, code 3.');
    expect(outcome(scenarioOf(lines))).toBe('no-violation');
  });
});

describe('an RMP violation of the host', () => {
  const fault = '[1.0] #PF: error_code(0x80000003) - RMP violation';

  it('of a page that nobody has assigned is a page in use', () => {
    const scenario = scenarioOf([
      fault,
      '[1.0] SEV-SNP: PFN 0x1234 unassigned, dumping non-zero entries in 2M PFN region: [0x1200 - 0x1400]',
    ]);
    expect(scenario.setup).toEqual([{ op: 'mark-in-use', pfn: 0x234 }]);
    expect(outcome(scenario)).toBe('host-page');
  });

  it('of an assigned page needs no assumption', () => {
    const scenario = scenarioOf([
      fault,
      '[1.0] SEV-SNP: PFN 0x1234, RMP entry: [0x6010fffffffff001 - 0x000000000000001f]',
    ]);
    expect(scenario.setup).toEqual([{ op: 'rmp-entry', pfn: 0x234, lo: '0x6010fffffffff001', hi: '0x1f' }]);
    expect(outcome(scenario)).toBe('host-page');
  });
});

const at = (vcpu: number, us: number, body: string): string =>
  `CPU ${vcpu}/KVM-90${vcpu} [00${vcpu}] 10.00000${us}: ${body}`;

describe('a KVM trace', () => {
  it('gives each vCPU its faults: an exit and the fault that comes of it are one, private by the error code', () => {
    const scenario = scenarioOf([
      at(0, 1, 'kvm_exit: vcpu 0 reason npf rip 0xabc info1 0x0000000400000006 info2 0x0000000000077000'),
      at(1, 2, 'kvm_exit: vcpu 1 reason npf rip 0xabc info1 0x0000000400000004 info2 0x0000000000077000'),
      at(0, 3, 'kvm_page_fault: vcpu 0 rip 0xabc address 0x0000000000077000 error_code 0x400000006'),
      at(1, 4, 'kvm_tdp_mmu_spte_changed: as id 0 gfn 78 level 1 old_spte 10056cc8e67 new_spte 5a0'),
    ]);
    expect(scenario.threads).toEqual({
      'vcpu 0 (task 900)': [{ op: 'touch', vm: 'guest', vcpu: 0, gfn: 0x77, write: true, value: 0x78 }],
      'vcpu 1 (task 901)': [{ op: 'touch', vm: 'guest', vcpu: 1, gfn: 0x77 }],
      zap: [{ op: 'punch-hole', file: 'memory', start: 0x78, pages: 1 }],
    });
    expect(outcome(scenario)).toBe('no-violation');
  });

  it('keeps places in 2M regions where gfns are large', () => {
    const text = documentOf(imported([at(0, 1, 'kvm_page_fault: address 9abcde000 error_code 6')]), 'scenario');
    expect(text).toContain('gfn 0x9abcde of the log is gfn 0x2de here.');
    expect(outcome(scenarioSchema.parse(parse(text!)) as Scenario)).toBe('no-violation');
  });

  it('of a 2M mapping put over small ones fails as B17 does, and passes without', () => {
    const scenario = scenarioOf([
      at(0, 1, 'kvm_page_fault: address 845000 error_code 4'),
      at(0, 2, 'kvm_tdp_mmu_spte_changed: as id 0 gfn 800 level 2 old_spte 100b1b16827 new_spte 100b4a00ea7'),
      at(0, 3, 'kvm_tdp_mmu_spte_changed: as id 0 gfn 805 level 1 old_spte 10056cc8e67 new_spte 5a0'),
    ]);
    expect(['stale-mapping', 'one-owner']).toContain(outcome(scenario));
    expect(outcome({ ...scenario, variants: [] })).toBe('no-violation');
  });

  it('of a fault that is stuck on a sign-extended sequence fails as B30 does, and passes without', () => {
    const line =
      '10:00:00:000001 tid[12] pid[11] FAULTIN @ rip ffffffff81000000 (7 hits), gpa = 55ab0, hva = 7f0000000000, flags = 0 : MMU seq = 80000010, in-prog = 0, start = 0, end = 0';
    const scenario = scenarioOf([line]);
    expect(['progress', 'livelock']).toContain(outcome(scenario));
    expect(outcome({ ...scenario, variants: [] })).toBe('no-violation');
    expect(scenarioOf([line.replace('80000010', '10')]).variants).toBeUndefined();
  });
});

describe('a long KVM trace', () => {
  // 40 faults each of three vCPUs; all three want page 0x50, otherwise each its own.
  const lines = Array.from({ length: 120 }, (_, n) => {
    const gfn = n >= 105 ? 0x50 : 0x1000 + (n % 3) * 0x1000 + n;
    const code = n % 2 === 0 ? '400000006' : '400000004';
    return `CPU ${n % 3}/KVM-90${n % 3} [000] 10.${String(n * 1000).padStart(6, '0')}: kvm_page_fault: vcpu ${n % 3} rip 0xabc address 0x${gfn.toString(16)}000 error_code 0x${code}`;
  });
  const zaps = [1, 2].map((n) =>
    at(0, n, `kvm_tdp_mmu_spte_changed: as id 0 gfn ${n} level 1 old_spte 10056cc8e67 new_spte 0`),
  );

  it('keeps the pages that most vCPUs wanted, and says how much it leaves out', () => {
    const result = imported([...lines, ...zaps]);
    expect(result.explanation[0]).toBe(
      '120 fault lines of 106 pages, 1 of them wanted by several vCPUs; the most wanted:',
    );
    expect(result.explanation[1]).toMatch(/^gfn 0x50: 15 fault lines of 3 vCPUs within 14000 us/);
    const text = documentOf(result, 'scenario')!;
    expect(text).toMatch(/^# Left out: 72 faults;/m);
    const { threads } = scenarioSchema.parse(parse(text)) as Scenario;
    expect(Object.keys(threads)).toHaveLength(4);
    expect(outcome(scenarioSchema.parse(parse(text)) as Scenario, 5)).toBe('no-violation');
  });

  it('becomes a profile with its vCPUs, writes, hot pages and zaps a second', () => {
    const profile = profileSchema.parse(parse(documentOf(imported([...lines, ...zaps]), 'profile')!));
    expect(profile.vms[0]).toMatchObject({ vcpus: 3, memory: '49MiB' });
    expect(profile.actors[0]).toMatchObject({
      kind: 'vcpu',
      threads: 3,
      touch: { distribution: 'hotspot', write: 0.5 },
    });
    expect(profile.actors[1]).toMatchObject({ kind: 'invalidator', rate: '17/s' });
    expect(documentOf(imported(lines.slice(0, 50)), 'profile')).toBeUndefined();
  });

  it('says what the host took away', () => {
    const unmap = (us: number, end: string): string =>
      at(0, us, `kvm_unmap_hva_range: mmu notifier unmap range: 0x00007f0000000000 -- 0x00007f00000${end}`);
    expect(imported([unmap(1, '01000'), unmap(2, '10000')]).explanation).toEqual([
      "2 ranges taken away by the host's mm (mmu notifier), 1 to 16 pages each",
    ]);
  });
});

describe('a memslot trace', () => {
  it('without files takes them from the host addresses: an alias of memory that is bound is refused, as in the log', () => {
    const result = imported([
      'kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4 gpa=0x0 size=0x400000 ua=0x7f1000000000 ret=0',
      'kvm_set_user_memory AddrSpace#0 Slot#1 flags=0x4 gpa=0xffc00000 size=0x100000 ua=0x7f2000000000 ret=0',
      'kvm_set_user_memory AddrSpace#0 Slot#2 flags=0x4 gpa=0xfeda0000 size=0x20000 ua=0x7f10000a0000 ret=-22',
    ]);
    const sequence = readDocument(fileOf(documentOf(result, 'memslots')!, 'yaml'), memslotsSchema);
    expect(sequence.steps.map(({ file, offset }) => [file, offset])).toEqual([
      [0, 0],
      [1, 0],
      [0, 0xa0000],
    ]);
    const [shard] = bootShards(planShards({ memory: '64MiB' }), { build: 'fast', maxTasks: 1 }, {});
    const differences: ReplayDifference[] = [];
    const vm = profileSchema.shape.vms.element.parse({ name: 'guest' });
    createGuest([shard!], 0, 'guest', vm, sequence, 0, differences);
    expect(differences).toEqual([]);
  });

  it('gets a profile that names its sequence', () => {
    const result = imported([
      'kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4 gpa=0x0 size=0x400000 ua=0x7f1000000000 guest_memfd=3 guest_memfd_offset=0x0 ret=0',
    ]);
    const profile = profileSchema.parse(parse(documentOf(result, 'profile')!));
    const [memslots] = result.documents.filter(({ kind }) => kind === 'memslots');
    expect(profile.vms[0]!.memslots).toBe(`./${memslots!.fileName}`);
  });

  it('of a TDX guest shows what is copied in before it runs', () => {
    const { explanation, documents } = imported([
      'kvm_tdx_init_mem_region type=0x0 attributes=0x1 source=0x7fea34284000 gfn=0x40 nr_pages=0x10',
      'tdx->ram_entries[0]: addr=0x0 len=0x800000 type=0',
      'tdx->ram_entries[1]: addr=0x800000 len=0x6000 type=1',
    ]);
    expect(explanation).toEqual([
      'gfns [0x40, 0x50) are copied in before the guest runs, 16 pages, measured',
      '16 pages in all: as many LAUNCH_UPDATEs of an SNP guest',
      'RAM entries: 6 pages added by the launch, 2048 left for the guest to accept',
    ]);
    expect(documents).toEqual([]);
  });
});

describe('a damaged line', () => {
  const good = 'kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4 gpa=0x0 size=0x400000 ua=0x7f1000000000 ret=0';
  const damaged: [string, string[]][] = [
    ['a memslot step', [good, good.slice(0, 60)]],
    [
      'an e820 line',
      ['BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable', 'BIOS-e820: [mem 0x00000000001'],
    ],
    ['a raw RMP entry', [update('1234', 1, 2), '[1.0] SEV-SNP: PFN: 0x1201, [0x80000000000000']],
    ['a page fault', [at(0, 1, 'kvm_page_fault: address 9000 error_code 6'), at(0, 2, 'kvm_page_fault: addr')]],
  ];

  it.each(damaged)('of a kind that documents are made of is refused with its place: %s', (_, lines) => {
    expect(() => imported(lines)).toThrow(UsageError);
    expect(() => imported(lines)).toThrow(/:2: damaged .* line, expected `.*`: .*; nothing was written/);
    expect(imported(lines, { explain: true }).unread).toMatchObject([
      { line: 2, damaged: expect.any(String) as string },
    ]);
  });
});
