// Kinds of scheduling points, as the controlled build announces them.
export const POINT_LOAD = 1;
export const POINT_STORE = 2;
export const POINT_ATOMIC_LOAD = 3;
export const POINT_ATOMIC_STORE = 4;
export const POINT_XCHG = 5;
export const POINT_CAS = 6;
export const POINT_ADD = 7;
export const POINT_SUB = 8;
export const POINT_OR = 9;
export const POINT_AND = 10;
export const POINT_FENCE = 11;
export const POINT_FILL = 12;
export const POINT_COPY = 13;
export const POINT_RELAX = 14;
export const POINT_FUTEX_WAIT = 15; // low: the value that the word must still have; high: 1 when it may time out
export const POINT_FUTEX_WAKE = 16; // low: how many
