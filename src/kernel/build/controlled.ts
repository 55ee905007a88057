// Build constants of the `controlled` build: first on asc's command line, so every file sees them.
// @ts-nocheck: decorators on constants are AssemblyScript's
@global @inline const CONTROLLED: bool = true; // points call the scheduler
@global @inline const PERTURBED: bool = false; // points may delay
@global @inline const LOCKDEP: bool = true; // lock order, held locks, sleeping rules
@global @inline const LOCKSTAT: bool = false; // acquisitions, contention, wait and hold time
@global @inline const ORACLES: bool = true; // inline oracles (SH_ORACLES switches them at run time)
@global @inline const VARIANTS: bool = true; // named variants
