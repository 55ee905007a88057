// Build constants of the `fast` build: first on asc's command line, so every file sees them.
// @ts-nocheck: decorators on constants are AssemblyScript's
@global @inline const CONTROLLED: bool = false; // points call the scheduler
@global @inline const PERTURBED: bool = false; // points may delay
@global @inline const LOCKDEP: bool = false; // lock order, held locks, sleeping rules
@global @inline const LOCKSTAT: bool = false; // acquisitions, contention, wait and hold time
@global @inline const ORACLES: bool = false; // inline oracles (SH_ORACLES switches them at run time)
@global @inline const VARIANTS: bool = false; // named variants
