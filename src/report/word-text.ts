// What the value of a word means, for the table of an interleaving: the fields of an RMP entry or of a page-table entry, readers and writer of an rwlock,
// what an XArray's entry points to. Words that are nothing of the kind are numbers.
import type { StateWord, WordSort } from '../explore/state-names.js';
import {
  PAGE_REF_MASK,
  PG_DIRTY,
  PG_HAS_HWPOISONED,
  PG_HWPOISON,
  PG_LEAKED,
  PG_LOCKED,
  PG_UPTODATE,
  PG_WAITERS,
} from '../kernel/abi/mm.js';
import * as snp from '../kernel/abi/snp.js';
import * as spte from '../kernel/abi/vcpu.js';

/** Fields of a word by name, in the order in which they are shown; those that are 0 or false are left out. */
type Fields = [name: string, value: number | boolean][];

const ONE = 1n;
const bit = (value: bigint, n: number): boolean => (value & (ONE << BigInt(n))) !== 0n;
const bits = (value: bigint, first: number, count: number): number =>
  Number((value >> BigInt(first)) & ((ONE << BigInt(count)) - ONE));

function rmpFields(value: bigint, isHead: boolean): Fields {
  return [
    ['assigned', bit(value, snp.RMP_LO_ASSIGNED)],
    ['gfn', bits(value, snp.RMP_LO_GFN, 39)],
    ['asid', bits(value, snp.RMP_LO_ASID, 10)],
    ['2M', bit(value, snp.RMP_LO_PAGESIZE)],
    ['immutable', bit(value, snp.RMP_LO_IMMUTABLE)],
    isHead ? ['count', bits(value, snp.RMP_LO_COUNT, 9)] : ['mark', bit(value, snp.RMP_LO_COUNT)],
    ['vmsa', bit(value, snp.RMP_LO_VMSA)],
    ['validated', bit(value, snp.RMP_LO_VALIDATED)],
    ['firmware', bit(value, snp.RMP_LO_FIRMWARE)],
  ];
}

const PAGE_FLAGS: [string, number][] = [
  ['uptodate', PG_UPTODATE],
  ['leaked', PG_LEAKED],
  ['locked', PG_LOCKED],
  ['waiters', PG_WAITERS],
  ['hwpoison', PG_HWPOISON],
  ['has_hwpoisoned', PG_HAS_HWPOISONED],
  ['dirty', PG_DIRTY],
];

function pageFields(value: bigint): Fields {
  const word = Number(value);
  return [
    ['refcount', word & PAGE_REF_MASK],
    ...PAGE_FLAGS.map(([name, flag]): Fields[number] => [name, (word & flag) !== 0]),
  ];
}

function spteText(value: bigint): string {
  if (value === 0n) return 'none';
  if (Number(value) === spte.SPTE_FROZEN_VALUE) return 'frozen';
  if (!bit(value, spte.SPTE_PRESENT_BIT)) return `0x${value.toString(16)}`;
  const target = (value >> BigInt(spte.SPTE_PFN_SHIFT)) & ((ONE << 40n) - ONE);
  // Of an entry that points to a table the kernel sets no leaf's bits.
  const isLeaf =
    bit(value, spte.SPTE_LARGE_BIT) || bit(value, spte.SPTE_PRIVATE_BIT) || bit(value, spte.SPTE_MMU_WRITABLE_BIT);
  if (!isLeaf) return `0x${value.toString(16)}`;
  const rights = `${bit(value, spte.SPTE_WRITABLE_BIT) ? 'w' : 'r'}${bit(value, spte.SPTE_DIRTY_BIT) ? 'd' : ''}`;
  return `pfn 0x${target.toString(16)} ${bit(value, spte.SPTE_PRIVATE_BIT) ? 'private ' : ''}${rights}`;
}

/** What is set, joined; `none` when nothing is. */
const setOf = (none: string, ...parts: readonly (string | false)[]): string =>
  parts.filter((part) => part !== false).join('+') || none;
const readersText = (count: number): string | false => count !== 0 && `${count} reader${count === 1 ? '' : 's'}`;

/** src/kernel/sync/word.ts. */
function lockText(value: bigint): string {
  return setOf('free', bit(value, 0) && 'locked', bit(value, 8) && 'parked', bit(value, 9) && 'handoff');
}

/** src/kernel/sync/rwlock.ts. */
function rwlockText(value: bigint): string {
  const held = [bits(value, 0, 8) !== 0 && 'writer', readersText(bits(value, 10, 22))];
  return setOf('free', ...held, bit(value, 8) && 'claimed', bit(value, 9) && 'queue');
}

/** src/kernel/sync/rwsem.ts. */
function rwsemText(value: bigint): string {
  const held = [bit(value, 0) && 'writer', readersText(bits(value, 8, 23))];
  return setOf('free', ...held, bit(value, 1) && 'waiters', bit(value, 2) && 'handoff');
}

function entryText(name: string, value: bigint): string {
  const word = Number(value);
  if (word === 0) return 'none';
  if (word % 2 === 0) return word % 4 === 2 && word < 256 ? 'sibling' : number(word);
  const stored = word >>> 1;
  return /\.i_pages|shared_pages/.test(name) ? `pfn 0x${(stored & 0x3fffffff).toString(16)}` : number(stored);
}

/** Small numbers in decimal, others as the addresses and masks that they are. */
function number(value: number): string {
  return value > 0xffff ? `0x${value.toString(16)}` : String(value);
}

/** Sorts whose value is one text. */
const TEXTS: Partial<Record<WordSort, (name: string, value: bigint) => string>> = {
  spte: (_, value) => spteText(value),
  lock: (_, value) => lockText(value),
  'lock-waiters': (_, value) => setOf('none', bit(value, 8) && 'parked', bit(value, 9) && 'handoff'),
  rwlock: (_, value) => rwlockText(value),
  'rwlock-waiters': (_, value) => setOf('none', bit(value, 8) && 'claimed', bit(value, 9) && 'queue'),
  rwsem: (_, value) => rwsemText(value),
  xarray: entryText,
};
/** Sorts that have several fields. */
const FIELDS: Partial<Record<WordSort, (value: bigint) => Fields>> = {
  rmp: (value) => rmpFields(value, false),
  'rmp-head': (value) => rmpFields(value, true),
  'rmp-use': (value) => [
    ['in_use', bit(value, snp.RMP_USE_VMRUN)],
    ['lock', bit(value, snp.RMP_USE_LOCK)],
    ['permissions', bits(value, 0, 32)],
  ],
  page: pageFields,
};

const shown = (name: string, value: number | boolean): string =>
  name === 'gfn' || name === 'permissions' ? `0x${Number(value).toString(16)}` : number(Number(value));

/** `vm0.mmu_lock = free`, `rmp[0x11] = assigned, gfn 0x9, asid 1`, `page[0x11].refcount = 2 uptodate`. */
export function readText({ name, sort }: StateWord, value: bigint): string {
  const fields = FIELDS[sort]?.(value);
  if (fields === undefined) return `${name} = ${wordText(name, sort, value)}`;
  const set = fields.filter(([, field]) => Number(field) !== 0).map(([field, what]) => said(field, what));
  if (sort === 'page')
    return [`${name} = ${Number(fields[0]![1])}`, ...set.filter((text) => !text.startsWith('refcount'))].join(' ');
  const none = sort === 'rmp-use' ? '0' : 'free';
  return `${name} = ${set.length === 0 ? none : set.join(', ')}`;
}

/** The value of a word without fields. */
function wordText(name: string, sort: WordSort, value: bigint): string {
  return TEXTS[sort]?.(name, value) ?? number(Number(BigInt.asUintN(32, value)));
}

/** A flag by its name, a number behind it. */
const said = (name: string, value: number | boolean): string =>
  value === true ? name : `${name} ${shown(name, value)}`;

/** `vm0.mmu_lock free -> writer`, `rmp[0x11].assigned 0 -> 1 (gfn 0x9, asid 1)`, `page[0x11].refcount 1 -> 2`. */
export function writeText({ name, sort }: StateWord, before: bigint, after: bigint): string {
  const fields = FIELDS[sort];
  if (fields === undefined) return `${name} ${wordText(name, sort, before)} -> ${wordText(name, sort, after)}`;
  const then = fields(before);
  const changes = fields(after).flatMap(([field, value], n): { field: string; text: string }[] => {
    const old = then[n]![1];
    if (old === value) return [];
    if (typeof value === 'boolean' && field !== 'assigned')
      return [{ field: '', text: `${value ? '+' : '-'}${field}` }];
    return [{ field, text: `${shown(field, old)} -> ${shown(field, value)}` }];
  });
  const [first, ...rest] = changes;
  const object = name.replace(/\.(?:refcount|hi)$/, '');
  if (first === undefined) return `${object}, as it is`;
  if (first.field !== 'assigned') {
    const others = rest.map(({ field, text }) => (field === '' ? ` ${text}` : `, ${field} ${text}`));
    return `${object}${first.field === '' ? '' : `.${first.field}`} ${first.text}${others.join('')}`;
  }
  // Whose page it becomes, or was.
  const whose = (first.text.endsWith('1') ? fields(after) : then).filter(
    ([field, value]) => field !== 'assigned' && Number(value) !== 0,
  );
  const owner = whose.length === 0 ? '' : ` (${whose.map(([field, value]) => said(field, value)).join(', ')})`;
  return `${object}.assigned ${first.text}${owner}`;
}
