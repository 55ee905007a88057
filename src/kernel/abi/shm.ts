// Structures of `rmptorture/shm` that are not kernel objects: the event ring and the histogram. Offsets are bytes. Both begin with 16 bytes that read
// like a lock nobody holds, so that the watchdog can name what a thread waits for.

// struct ring: what producers write and what the consumer writes lie on lines of their own.
export const RING_SIZE = 256;
export const RING_MASK = 16; // u32: entries - 1
export const RING_STRIDE = 20; // u32: bytes from slot to slot
export const RING_SLOTS = 24; // u32: address of slot 0
export const RING_MANY = 28; // u32: 1 when several producers may write
export const RING_RECORD = 32; // u32: bytes of a record
export const RING_TAIL = 64; // u32: next position to reserve
export const RING_REFUSED = 68; // u32: reservations refused because the ring was full
export const RING_HEAD = 128; // u32: next position to read
export const RING_DATA_WAIT = 192; // u32: 1 when the consumer may sleep until there is an event; the futex
export const RING_SPACE_WAIT = 196; // u32: 1 when producers may sleep until there is space; the futex
// A slot: {sequence u32, pad u32, payload}
export const RING_SLOT_HEADER = 8;

// struct hdr: a histogram with one slice a task. A slice is written by its task alone.
export const HDR_SIZE = 64;
export const HDR_SUB_BITS = 16; // u32: 2^n linear buckets per power of two
export const HDR_BUCKETS = 20; // u32: buckets of a slice
export const HDR_SLICES = 24; // u32
export const HDR_STRIDE = 28; // u32: bytes from slice to slice
export const HDR_FIRST = 32; // u32: address of slice 0
export const HDR_MAX_BITS = 53; // values are below 2^53: what a JavaScript number counts exactly
// A slice: header, then HDR_BUCKETS x u64
export const SLICE_COUNT = 0; // u64
export const SLICE_MIN = 8; // f64, valid when there is a value
export const SLICE_MAX = 16; // f64
export const SLICE_SUM = 24; // f64
export const SLICE_SQUARES = 32; // f64: sum of the squared values
export const SLICE_HEADER = 64;

// What a timed attempt takes.
export const TIMED_MUTEX = 0;
export const TIMED_SPINLOCK = 1;
export const TIMED_RWSEM_READ = 2;
export const TIMED_RWSEM_WRITE = 3;
export const TIMED_RWLOCK_READ = 4;
export const TIMED_RWLOCK_WRITE = 5;
