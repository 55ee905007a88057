// Rates, stages, think times and pauses of an actor, as its program has them: src/kernel/program/pacing.ts.
import { UsageError } from '../host/errors.js';
import type { Shard } from '../host/shard.js';
import { parseDuration, parseRate } from '../host/units.js';
import * as program from '../kernel/abi/program.js';
import type { ActorProfile, Profile } from './schema.js';

export type Stutter = NonNullable<Profile['stutter']>;

/** Operations of one step in the mean: a vCPU makes a batch of touches. A rebinder's step is one rearrangement, which counts once. */
function operationsPerStep({ kind, mix = {}, touch }: ActorProfile): number {
  if (kind === 'vcpu') return touch.batch;
  const total = Object.values(mix).reduce((sum, weight) => sum + weight, 0);
  return total === 0 ? 1 : 1 + ((mix.vcpu ?? 0) / total) * (touch.batch - 1);
}

/** Steps per nanosecond of a rate in operations per second. */
function stepsPerNs(actor: ActorProfile, rate: number | string): number {
  const isZero = /^0+(\.0+)?(?!\d|\.)/.test(String(rate));
  return isZero ? 0 : parseRate(rate) / 1e9 / operationsPerStep(actor);
}

/** Writes when the steps of the program at `address` are due. Throws UsageError when the shard has no memory left. */
export function writePacing(shard: Shard, address: number, actor: ActorProfile, stutter?: Stutter): void {
  const view = new DataView(shard.buffer, address, program.PROGRAM_SIZE);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const f64 = (at: number, value: number): void => view.setFloat64(at, value, true);
  const { rate, stages = [] } = actor;
  u32(program.PR_OPEN, rate !== undefined || stages.length > 0 ? 1 : 0);
  u32(program.PR_ARRIVAL, actor.arrival === 'poisson' ? program.ARRIVAL_POISSON : program.ARRIVAL_CONSTANT);
  u32(program.PR_BURST, actor.burst);
  f64(program.PR_THINK_NS, actor.think === undefined ? 0 : parseDuration(actor.think));
  if (stutter !== undefined) {
    f64(program.PR_STUTTER_RUN_NS, parseDuration(stutter.run));
    f64(program.PR_STUTTER_PAUSE_NS, parseDuration(stutter.pause));
  }
  const last = stages.at(-1)?.rate ?? rate;
  // 1 / 0 is right here: after a last stage that ends at rate 0 nothing is due any more.
  f64(program.PR_INTERVAL_NS, last === undefined ? 0 : 1 / stepsPerNs(actor, last));
  if (stages.length > 0) {
    u32(program.PR_STAGES, writeStages(shard, actor));
    u32(program.PR_STAGE_COUNT, stages.length);
  }
}

function writeStages({ x, buffer }: Shard, actor: ActorProfile): number {
  const { rate, stages = [] } = actor;
  const bytes = stages.length * program.STAGE_SIZE;
  const address = x.vmalloc(BigInt(bytes)) >>> 0;
  if (address === 0)
    throw new UsageError('profile', `actors: no memory left in the shard for the stages of ${actor.kind}`);
  const view = new DataView(buffer, address, bytes);
  let endNs = 0;
  let from = rate === undefined ? 0 : stepsPerNs(actor, rate);
  stages.forEach((stage, n) => {
    const lengthNs = parseDuration(stage.duration);
    const to = stepsPerNs(actor, stage.rate);
    endNs += lengthNs;
    const base = n * program.STAGE_SIZE;
    view.setFloat64(base + program.ST_END_NS, endNs, true);
    view.setFloat64(base + program.ST_RATE, from, true);
    view.setFloat64(base + program.ST_SLOPE, lengthNs === 0 ? 0 : (to - from) / lengthNs, true);
    from = to;
  });
  return address;
}
