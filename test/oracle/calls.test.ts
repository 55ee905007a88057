// Oracles inside the kernel: each mistake is met by a call, which reports that one violation with its values; the calls before it are sound.
import { describe, it } from 'vitest';
import { GUESTS } from './plants/guests.js';
import { LOCKING } from './plants/locking.js';
import { MEMORY } from './plants/memory.js';
import { provePlant, titled } from './plants/plant.js';
import { SLOTS } from './plants/slots.js';

describe.each([
  ['heap, pages and files', MEMORY],
  ['guests', GUESTS],
  ['memslots, attributes and regions', SLOTS],
  ['locks', LOCKING],
])('%s', (_, plants) => {
  it.each(titled(plants))('%s', (__, plant) => provePlant(plant, false));
});
