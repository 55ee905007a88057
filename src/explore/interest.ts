// What belongs together in the state, by the names of its words: the words of a lock or another object of the kernel, those of one page (its entry in the RMP, its
// struct page), of one gfn of a guest (its leaf entries in the page tables of all roots, its attributes), of one entry of another XArray (what a file says of
// one page), of a guest's invalidation. SURW draws such a set where the order of
// accesses to one word alone would not tell.
import type { VariableOf } from './strategies/surw.js';
import type { Target } from './target.js';

const PAGE = /^(?:rmp|page)\[(0x[0-9a-f]+)\]/;
const GFN = /^(.*)\.(?:(?:old_)?spte|mem_attr_array)\[(0x[0-9a-f]+)\]/;
const ENTRY = /^.*\[0x[0-9a-f]+\]/;
const INVALIDATION = /^(.*\.mmu_invalidate)_\w+$/;
const OFFSET = /(?:\+0x[0-9a-f]+|(?<!\.task)\.wait_lock)$/;

/** What the word of that name belongs to. */
export function objectOf(name: string): string {
  const page = PAGE.exec(name);
  if (page !== null) return `page ${page[1]}`;
  const gfn = GFN.exec(name);
  if (gfn !== null) return `${gfn[1]} gfn ${gfn[2]}`;
  return ENTRY.exec(name)?.[0] ?? INVALIDATION.exec(name)?.[1] ?? name.replace(OFFSET, '');
}

/** Numbers the objects of a target as they are met. */
export function objectsOf({ nameOf }: Pick<Target, 'nameOf'>): VariableOf {
  const byWord = new Map<number, number>();
  const byName = new Map<string, number>();
  return (address) => {
    const word = address >>> 2;
    let object = byWord.get(word);
    if (object === undefined) {
      const name = objectOf(nameOf(word * 4));
      object = byName.get(name) ?? byName.size;
      byName.set(name, object);
      byWord.set(word, object);
    }
    return object;
  };
}
