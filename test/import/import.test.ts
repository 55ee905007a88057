// Importers on lines of our own making in the grammars of real logs; and on damaged and foreign files.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readLayout } from '#src/host/layout-file.js';
import { UsageError } from '#src/host/errors.js';
import { importLog, type ImportResult } from '#src/import/import.js';
import { readDocument } from '#src/torture/document.js';
import { memslotsSchema } from '#src/torture/schema.js';
import { bootKernel } from '../kernel/harness.js';

const folder = mkdtempSync(join(tmpdir(), 'import-'));
afterAll(() => rmSync(folder, { recursive: true }));

const k = bootKernel();
let files = 0;

function fileOf(text: string): string {
  const path = join(folder, `log ${files++}.txt`);
  writeFileSync(path, text);
  return path;
}

const imported = (...lines: string[]): ImportResult =>
  importLog(fileOf(`${lines.join('\n')}\n`), (lo, hi) => k.x.pageState(lo, hi));

describe('a QEMU memslot trace', () => {
  const trace = [
    '4711@1700000000.000001:kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4 gpa=0x0 size=0x400000 ua=0x7f1000000000 ret=0 restricted_fd=7 restricted_offset=0x0',
    'kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x0 gpa=0x0 size=0x0 ua=0x7f1000000000 ret=0 restricted_fd=7 restricted_offset=0x0',
    'kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4 gpa=0x0 size=0x1000 ua=0x7f1000000000 guest_memfd=7 guest_memfd_offset=0x0 ret=0',
    'kvm_set_user_memory AddrSpace#0 Slot#2 flags=0x4 gpa=0x100000 size=0x300000 ua=0x7f1000100000 guest_memfd=7 guest_memfd_offset=0x200000 ret=-22',
  ];

  it('becomes a memslot sequence that a profile reads, old and new field names alike', () => {
    const { documents, understood, lines, unread } = imported(...trace);
    expect({ understood, lines, unread }).toEqual({ understood: 4, lines: 4, unread: [] });
    const path = fileOf(documents[0]!.text);
    expect(readDocument(path, memslotsSchema)).toEqual({
      name: expect.stringMatching(/^log-\d+$/) as string,
      files: [{ id: 7, size: 0x500000 }],
      steps: [
        { slot: 0, flags: 4, gpa: 0, size: 0x400000, hva: 0x7f1000000000, file: 7, offset: 0, ret: 0 },
        { slot: 0, flags: 0, gpa: 0, size: 0, hva: 0x7f1000000000, file: 7, offset: 0, ret: 0 },
        { slot: 0, flags: 4, gpa: 0, size: 0x1000, hva: 0x7f1000000000, file: 7, offset: 0, ret: 0 },
        { slot: 2, flags: 4, gpa: 0x100000, size: 0x300000, hva: 0x7f1000100000, file: 7, offset: 0x200000, ret: -22 },
      ],
    });
  });

  it('is explained: what is unbound, what cannot use 2M pages, what was refused', () => {
    expect(imported(...trace).explanation).toEqual([
      'slot 0 created private at gpa 0x0, 1024 pages, file 7 page 0x0',
      'slot 0 deleted (unbinds 1024 pages)',
      'slot 0 created private at gpa 0x0, 1 pages, file 7 page 0x0',
      'slot 2 created private at gpa 0x100000, 768 pages, file 7 page 0x200 (file offset and gpa not aligned alike: no 2M pages; refused with -22)',
    ]);
  });
});

describe('the boot log of an SNP host', () => {
  it('becomes a layout with exclusive ends, and says that memory shares a 2M region with the table', () => {
    const { documents, explanation } = imported(
      '[    0.100000] SEV-SNP: RMP table physical range [0x0000000040000000 - 0x00000000404fffff]',
      '[    0.200000] BIOS-e820: [mem 0x0000000000100000-0x000000003fffffff] usable',
      '[    0.200000] BIOS-e820: [mem 0x0000000040000000-0x00000000404fffff] reserved',
      '[    0.200000] BIOS-e820: [mem 0x0000000040500000-0x00000000405fffff] usable',
      '[    0.300000] kvm_amd: SEV-ES enabled (ASIDs 1 - 42)',
    );
    expect(readLayout(fileOf(documents[0]!.text))).toMatchObject({
      usable: [
        { start: 0x100, end: 0x40000 },
        { start: 0x40500, end: 0x40600 },
      ],
      rmp: { start: 0x40000, end: 0x40500 },
    });
    expect(explanation).toEqual([
      'RMP table at [0x40000000, 0x40500000): 5 MiB, entries for 1.25 GiB',
      "usable memory [0x40500000, 0x40600000) shares a 2M region with the table's last pages: a write by a 2M mapping is an RMP fault",
      'usable memory: 1073741824 bytes (1.0 GiB) in 2 ranges',
      'SEV-ES: ASIDs 1 to 42',
    ]);
  });
});

describe('RMP lines of a kernel log', () => {
  it('are decoded by the kernel’s own page states, neighbours together', () => {
    const { explanation } = imported(
      '[1.0] SEV-SNP: RMPUPDATE failed for PFN 1234, pg_level: 1, ret: 4',
      '[1.0] SEV-SNP: PFN 0x1234 unassigned, dumping non-zero entries in 2M PFN region: [0x1200 - 0x1400]',
      '[1.0] SEV-SNP: PFN: 0x1200, [0x8000000000000015 - 0x0000000000000000]',
      '[1.0] SEV-SNP: PFN: 0x1201, [0x8000000000000005 - 0x0000000000000000]',
      '[1.0] SEV-SNP: PFN: 0x1203, [0x4018000000007001 - 0x000000000000000f]',
      '[1.0] SEV-SNP: rmpupdate failed, ret: 3, pfn: abc, npages: 1, level: 1, retrying (max: 8)...',
      '[1.0] SEV-SNP: Leaking PFN range 0x2000-0x2200',
      '[1.0] #PF: error_code(0x80000003) - RMP violation',
      '[1.0] SEV-SNP: RMPEntry paddr 0x5000 [assigned=1 immutable=0 pagesize=1 gpa=0x7000 asid=3 vmsa=0 validated=1]',
    );
    expect(explanation).toEqual([
      'pfns [0x1200, 0x1202): Firmware, asid 0, 2 other assigned 4K entries in its 2M region',
      'pfn 0x1203: Guest-Valid, asid 3, gpa 0x7000',
      'RMPUPDATE of pfn 0x1234, level 1: FAIL_OVERLAP: 4K and 2M entries overlap',
      'pfn 0x1234 itself is not assigned: the reason lies elsewhere in its 2M region, or the page is in use',
      'RMPUPDATE of pfn 0xabc, level 1: FAIL_INUSE: another CPU or a VMRUN uses the entry, retried up to 8 times',
      'pages [0x2000, 0x2200) leaked: 512 pages never return to the host',
      'host write refused by the RMP, #PF error code 0x80000003',
      'pfn 0x5: assigned, is2m, validated, asid 3',
    ]);
  });
});

describe('KVM trace events', () => {
  it('show which vCPUs wanted one page, wrapped lines put together', () => {
    const { explanation, understood, unread } = imported(
      'CPU 0/KVM-901 [003] ....  10.000001: kvm_exit: vcpu 0 reason npf rip',
      '0xabc info 100000014 77000',
      'CPU 1/KVM-902 [004] ....  10.000004: kvm_page_fault: vcpu 1 rip 0xabc address 0x0000000000077000 error_code 0x14',
      'CPU 1/KVM-902 [004] 10.000005: kvm_fpu: unload',
      '# a comment',
      '',
    );
    expect({ understood, unread }).toEqual({ understood: 4, unread: [] });
    expect(explanation).toEqual(['gfn 0x77: 2 fault lines of 2 vCPUs within 3 us, error code 0x100000014, 0x14']);
  });

  it('show a 2M mapping put over small ones, and a fault that makes no progress', () => {
    const at = (us: number, body: string): string => `CPU 0/KVM-901 [003] 10.00000${us}: ${body}`;
    const { explanation } = imported(
      at(1, 'kvm_tdp_mmu_spte_changed: as id 0 gfn 800 level 2 old_spte 100b1b16827 new_spte 100b4a00ea7'),
      at(2, 'kvm_tdp_mmu_spte_changed: as id 0 gfn 805 level 1 old_spte 10056cc8e67 new_spte 5a0'),
      at(3, 'kvm_tdp_mmu_spte_changed: as id 0 gfn 806 level 1 old_spte 0 new_spte 5a0'),
      ...[4, 5, 6].map((us) => at(us, 'kvm_mmu_spte_requested: gfn 9 pfn 77 level 1')),
      at(7, 'kvm_mmu_set_spte: gfn 9 spte 77025 (r-xu) level 1 at 8a53b01ff8'),
    );
    expect(explanation).toEqual([
      'gfn 0x9: mapped 3 times over, with no other page in between: a fault that makes no progress',
      'gfn 0x800: a 2M mapping is put over its 512 pages',
      '1 present entries zapped, between gfn 0x805 and gfn 0x805',
    ]);
  });

  it('show the sign extension of the sequence in a stuck fault', () => {
    const line = (hits: number): string =>
      `10:00:00:000001 tid[12] pid[11] FAULTIN @ rip ffffffff81000000 (${hits} hits), gpa = 55ab0, hva = 7f0000000000, flags = 0 : MMU seq = 80000010, in-prog = 0, start = 0, end = 0`;
    expect(imported(line(100), line(150)).explanation).toEqual([
      'thread 12: 50 faults of gfn 0x55 in these lines (150 in all), mmu_invalidate_seq 0x80000010, no invalidation open',
      '  the sequence has bit 31 set: kept in an int it is sign-extended, never equals the counter again, and the fault is retried for ever (B30)',
    ]);
  });
});

describe('what cannot be read', () => {
  it('is counted line by line with a reason', () => {
    const { unread, understood } = imported(
      '[1.0] SEV-SNP: Leaking PFN range 0x2000-0x2200',
      '[1.0] SEV-SNP: Leaking PFN range 0x2000-',
      'kvm_set_user_memory AddrSpace#0 Slot#0 flags=0x4',
      '\u0000\u0001 binary',
    );
    expect(understood).toBe(1);
    expect(unread.map(({ line }) => line)).toEqual([2, 3, 4]);
    expect(unread[2]!.reason).toBe('no known kind of line: ?? binary');
  });

  it.each([
    [
      'a foreign file',
      'Dear all,\nplease find attached\n',
      /:1: no known kind of line: Dear all,; expected one of: QEMU trace/,
    ],
    ['an empty file', '', /:1: the file is empty; expected one of/],
  ])('is refused as a whole: %s', (_, text, message) => {
    const path = fileOf(text);
    expect(() => importLog(path, () => 0)).toThrow(UsageError);
    expect(() => importLog(path, () => 0)).toThrow(message);
    expect(() => importLog(join(folder, 'none'), () => 0)).toThrow(/none: no such file/);
  });
});
