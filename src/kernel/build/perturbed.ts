// Build constants of the `perturbed` build: first on asc's command line, so every file sees them.
// @ts-nocheck: decorators on constants are AssemblyScript's
@global @inline const CONTROLLED: bool = false; // points call the scheduler
@global @inline const PERTURBED: bool = true; // points may delay
@global @inline const LOCKDEP: bool = true; // lock order, held locks, sleeping rules
@global @inline const LOCKSTAT: bool = true; // acquisitions, contention, wait and hold time
@global @inline const ORACLES: bool = true; // inline oracles (SH_ORACLES switches them at run time)
@global @inline const VARIANTS: bool = true; // named variants
