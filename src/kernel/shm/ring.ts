// Event ring: a bounded queue of equal slots for one consumer and one or many producers. Each slot carries a sequence number that says whose turn it
// is, so producers and consumer share no counter. After Dmitry Vyukov's bounded queue (1024cores, 2010).
//
// sequence of the slot of position p (u32, wraps; n = number of slots)
//   p          free: the producer that reserves p may write
//   p + 1      full: the consumer may read
//   p + n      free for the next round
// A producer that has reserved and not yet committed holds up the events behind it; the ring stays sound.
import { WAIT_RING } from '../abi/layout';
import {
  RING_DATA_WAIT, RING_HEAD, RING_MANY, RING_MASK, RING_RECORD, RING_REFUSED, RING_SLOTS, RING_SLOT_HEADER, RING_SPACE_WAIT, RING_STRIDE, RING_TAIL,
} from '../abi/shm';
import {
  atomicAdd32, atomicCas32, atomicLoad32, atomicStore32, atomicXchg32, cpuRelax, futexWake, load32, nowNs, store32,
} from '../point';
import { PARK_LIMIT_NS, park, spinTurns } from '../sync/word';
import { waitBegin, waitEnd } from '../task';

// @ts-ignore: decorator
@inline
function slotOf(r: usize, position: u32): usize {
  return <usize>load32(r + RING_SLOTS) + <usize>(position & load32(r + RING_MASK)) * load32(r + RING_STRIDE);
}

/** Bytes of a ring's slots. */
export function ringSlotsBytes(entries: u32, recordBytes: u32): u32 {
  return entries * strideOf(recordBytes);
}

// @ts-ignore: decorator
@inline
function strideOf(recordBytes: u32): u32 { return RING_SLOT_HEADER + ((recordBytes + 7) & ~7); }

/** Makes a ring of `entries` slots (a power of two, at least 2) in the memory at `slots`. @context before the ring is shared. */
export function ringInit(r: usize, slots: usize, entries: u32, recordBytes: u32, many: bool): void {
  store32(r + RING_MASK, entries - 1);
  store32(r + RING_STRIDE, strideOf(recordBytes));
  store32(r + RING_RECORD, recordBytes);
  store32(r + RING_SLOTS, <u32>slots);
  store32(r + RING_MANY, many ? 1 : 0);
  for (let n: u32 = 0; n < entries; n++) atomicStore32(slotOf(r, n), n);
  atomicStore32(r + RING_TAIL, 0);
  atomicStore32(r + RING_HEAD, 0);
}

/** Claims the next slot; 0 when the ring is full. */
function claim(r: usize): usize {
  let position = atomicLoad32(r + RING_TAIL);
  while (true) {
    const slot = slotOf(r, position);
    const ahead = <i32>(atomicLoad32(slot) - position);
    if (ahead < 0) return 0;
    if (ahead == 0) {
      if (load32(r + RING_MANY) == 0) {
        atomicStore32(r + RING_TAIL, position + 1);
        return slot + RING_SLOT_HEADER;
      }
      const seen = atomicCas32(r + RING_TAIL, position, position + 1);
      if (seen == position) return slot + RING_SLOT_HEADER;
      position = seen;
    } else {
      position = atomicLoad32(r + RING_TAIL);
    }
  }
  return 0;
}

/** Address of a payload to write, to be committed soon; 0 when the ring is full, which is counted. @context any; never waits. */
export function ringReserve(r: usize): usize {
  const payload = claim(r);
  if (payload == 0) atomicAdd32(r + RING_REFUSED, 1);
  return payload;
}

/** As ringReserve, but waits for space: 0 after `timeoutNs` (negative: no limit). @context sleeps. */
export function ringReserveWait(r: usize, timeoutNs: f64): usize {
  let payload = claim(r);
  if (payload != 0) return payload;
  const deadline = timeoutNs < 0 ? Infinity : nowNs() + timeoutNs;
  for (let n = spinTurns(); n > 0; n--) {
    cpuRelax();
    payload = claim(r);
    if (payload != 0) return payload;
  }
  waitBegin(r, WAIT_RING);
  while (payload == 0) {
    // The flag goes up before the last look: a release after that look sees it.
    atomicStore32(r + RING_SPACE_WAIT, 1);
    payload = claim(r);
    if (payload != 0 || !parkUntil(r + RING_SPACE_WAIT, deadline)) break;
  }
  waitEnd();
  return payload;
}

/** Hands the payload to the consumer. @context the thread that reserved it; never waits. */
export function ringCommit(r: usize, payload: usize): void {
  const slot = payload - RING_SLOT_HEADER;
  atomicStore32(slot, load32(slot) + 1);
  wake(r + RING_DATA_WAIT);
}

/** Payload of the oldest event, 0 when there is none. It stays until ringRelease. @context the consumer; never waits. */
export function ringPeek(r: usize): usize {
  const position = load32(r + RING_HEAD);
  const slot = slotOf(r, position);
  return atomicLoad32(slot) == position + 1 ? slot + RING_SLOT_HEADER : 0;
}

/** As ringPeek, but waits for an event: 0 after `timeoutNs` (negative: no limit). @context the consumer; sleeps. */
export function ringPeekWait(r: usize, timeoutNs: f64): usize {
  let payload = ringPeek(r);
  if (payload != 0) return payload;
  const deadline = timeoutNs < 0 ? Infinity : nowNs() + timeoutNs;
  for (let n = spinTurns(); n > 0; n--) {
    cpuRelax();
    payload = ringPeek(r);
    if (payload != 0) return payload;
  }
  waitBegin(r, WAIT_RING);
  while (payload == 0) {
    atomicStore32(r + RING_DATA_WAIT, 1);
    payload = ringPeek(r);
    if (payload != 0 || !parkUntil(r + RING_DATA_WAIT, deadline)) break;
  }
  waitEnd();
  return payload;
}

/** Gives the slot of the oldest event back. @context the consumer, after ringPeek gave an event. */
export function ringRelease(r: usize): void {
  const position = load32(r + RING_HEAD);
  atomicStore32(slotOf(r, position), position + load32(r + RING_MASK) + 1);
  atomicStore32(r + RING_HEAD, position + 1);
  wake(r + RING_SPACE_WAIT);
}

/** Events reserved and not yet released: a snapshot. */
export function ringLength(r: usize): u32 {
  const head = atomicLoad32(r + RING_HEAD);
  return atomicLoad32(r + RING_TAIL) - head;
}

/** Wakes all who announced that they sleep. A wake-up is 25-70 ns even without a sleeper: hence the flag. */
// @ts-ignore: decorator
@inline
function wake(flag: usize): void {
  if (atomicLoad32(flag) != 0 && atomicXchg32(flag, 0) != 0) futexWake(flag, 0xffffffff);
}

/** One bounded sleep on a raised flag; false when the deadline has passed. */
function parkUntil(flag: usize, deadline: f64): bool {
  const left = deadline - nowNs();
  if (!(left > 0)) return false;
  park(flag, 1, left < <f64>PARK_LIMIT_NS ? <i64>left + 1 : PARK_LIMIT_NS);
  return true;
}
