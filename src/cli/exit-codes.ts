// Exit codes of every command: part of the interface.
export const EXIT_PASSED = 0;
export const EXIT_VIOLATION = 1;
export const EXIT_USAGE = 2;
export const EXIT_THRESHOLD = 3;
export const EXIT_INCONCLUSIVE = 4;
export const EXIT_INTERNAL = 70;
