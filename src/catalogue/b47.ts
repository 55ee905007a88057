// B47: memory beside the end of the RMP table, in its 2M region, is given out.
import type { Bug } from './bug.js';

export const B47: Bug = {
  id: 'B47',
  title: 'memory beside the end of the RMP table, in its 2M region, is given out',
  source:
    'patch "x86/sev: Add callback to apply RMP table fixups for kexec" (Ashish Kalra, 26 April 2024); AMDSEV issue 245, where an RMPUPDATE beside the table got code 2',
  invariant: 'a host write meets no RMP violation',
  story:
    "The firmware put the RMP table where its end is no multiple of 2M, and the memory map calls what follows usable. The kernel takes a page from there for itself. Its own mapping of that region is one 2M entry, and the table's last pages are the firmware's: the first write to the page is an RMP violation.",
  fix: 'reserve the 2M regions in which the table begins and ends, whatever the memory map says',
  remark:
    "The page is a vCPU's APIC page, and the write an interrupt; in the report it was the image of the next kernel.",
  variants: ['B47'],
  verdicts: ['host-page'],
  strategy: 'any',
  scenario: {
    host: { pages: 1008, rmpTable: { start: 512, pages: 8 } },
    vms: { guest: { vcpus: 1, gfns: 64, irqchip: true } },
    threads: { device: [{ op: 'interrupt', vm: 'guest' }] },
  },
};
