// The page allocator's meetings: single pages and folios taken and given by several tasks at once, down to the last page there is. Small enough to see
// every state.
import type { Operation, Scenario } from '../scenario.js';

const take = (file: string, pages = 1): Operation => ({ op: 'allocate', file, start: 0, pages });
const give = (file: string): Operation => ({ op: 'punch-hole', file, start: 0, pages: 1 });
const one = { pages: 1 } as const;

/** Scenarios of the page allocator, by name. */
export const ALLOCATOR_SCENARIOS: readonly Scenario[] = [
  {
    name: 'allocate-allocate',
    about: 'two files take a page each: no page is given twice',
    files: { a: one, b: one },
    threads: { first: [take('a')], second: [take('b')] },
  },
  {
    name: 'allocate-last',
    about: 'two files want the last page of the host: one gets it, the other -ENOMEM, and no page is lost',
    host: { pages: 40 },
    files: { a: one, b: one, rest: { pages: 64 } },
    setup: [take('rest', 39)],
    threads: { first: [take('a')], second: [take('b')] },
  },
  {
    name: 'allocate-same',
    about: "two tasks fill the same hole of a file: one page stays, the loser's goes back",
    files: { a: one },
    threads: { first: [take('a')], second: [take('a')] },
    expect: [{ file: 'a', pages: 1 }],
  },
  {
    name: 'allocate-free',
    about: 'a page is taken while another one is given back',
    files: { a: one, b: one },
    setup: [take('b')],
    threads: { take: [take('a')], give: [give('b')] },
  },
  {
    name: 'free-free',
    about: 'two pages of one region are given back at once',
    files: { a: one, b: one },
    setup: [take('a'), take('b')],
    threads: { first: [give('a')], second: [give('b')] },
  },
  {
    name: 'allocate-folio',
    about: 'a 2M folio is taken while a single page is: never out of the same region',
    host: { pages: 1200 },
    files: { huge: { pages: 512, huge: true }, a: one },
    threads: { folio: [take('huge', 512)], page: [take('a')] },
  },
  {
    name: 'allocate-allocate-free',
    about: 'three tasks at one partition: two take a page, one gives its own back',
    files: { a: one, b: one, c: one },
    setup: [take('c')],
    threads: { first: [take('a')], second: [take('b')], give: [give('c')] },
  },
];
