// The random stream of an actor: what it does, drawn apart from the delays that are injected into it, so that a seed gives the same operations
// whatever the threads do to each other, and whichever task runs the actor. xoroshiro128+ (Blackman, Vigna).
import { PR_PACING_RNG, PR_RNG } from '../abi/program';
import { load64, store64 } from '../point';

// @ts-ignore: decorator
@inline
function next(stream: usize): u32 {
  const s0 = load64(stream);
  let s1 = load64(stream + 8);
  const result = s0 + s1;
  s1 ^= s0;
  store64(stream, rotl<u64>(s0, 24) ^ s1 ^ (s1 << 16));
  store64(stream + 8, rotl<u64>(s1, 37));
  return <u32>(result >> 32);
}

/** The next 32 random bits of the actor. @context the thread that runs the program. */
export function drawU32(program: usize): u32 {
  return next(program + PR_RNG);
}

/** Uniform in [0, bound), bound < 2^32; multiply-shift, bias below 2^-32 * bound. */
// @ts-ignore: decorator
@inline
export function drawBelow(program: usize, bound: u32): u32 {
  return <u32>((<u64>drawU32(program) * <u64>bound) >> 32);
}

/** Exponential with mean 1, above 0: the gap between events of a Poisson process of rate 1. From the stream for intervals. */
export function drawExponential(program: usize): f64 {
  return -Math.log((<f64>next(program + PR_PACING_RNG) + 1.0) / 4294967297.0);
}
