// Actors of a profile as programs in shared memory: which areas each thread works on, with which keys, ranges and rate.
import { UsageError } from '../host/errors.js';
import type { Shard } from '../host/shard.js';
import { parseDuration } from '../host/units.js';
import * as layout from '../kernel/abi/layout.js';
import * as program from '../kernel/abi/program.js';
import type { Guest } from './guests.js';
import { writePacing, type Stutter } from './pacing.js';
import { actorSeed } from './random.js';
import { MIX_KINDS, type ActorProfile } from './schema.js';

const KINDS: Record<ActorProfile['kind'], number> = {
  vcpu: program.ACTOR_VCPU,
  invalidator: program.ACTOR_INVALIDATOR,
  populator: program.ACTOR_POPULATOR,
  converter: program.ACTOR_CONVERTER,
  rebinder: program.ACTOR_REBINDER,
  'memory-failure': program.ACTOR_MEMORY_FAILURE,
  discarder: program.ACTOR_DISCARDER,
  'rmp-stormer': program.ACTOR_RMP_STORMER,
  lifecycle: program.ACTOR_LIFECYCLE,
  'host-writer': program.ACTOR_HOST_WRITER,
  device: program.ACTOR_DEVICE,
  reclaimer: program.ACTOR_RECLAIMER,
  reaper: program.ACTOR_REAPER,
  interrupter: program.ACTOR_INTERRUPTER,
  'page-state': program.ACTOR_PAGE_STATE,
  'cache-writer': program.ACTOR_CACHE_WRITER,
  'mmio-device': program.ACTOR_MMIO_DEVICE,
  region: program.ACTOR_REGION,
  mix: program.ACTOR_MIX,
};

const DISTRIBUTIONS: Record<ActorProfile['touch']['distribution'], number> = {
  uniform: program.DIST_UNIFORM,
  zipf: program.DIST_ZIPF,
  'zipf-shuffled': program.DIST_ZIPF_SHUFFLED,
  sequential: program.DIST_SEQUENTIAL,
  hotspot: program.DIST_HOTSPOT,
  latest: program.DIST_LATEST,
};

const MIX_SCALE = 2 ** 31;
const STORMER_HOLD = '50us';
const ASTRAY = 0.1;

/** Actors that work on the VMM's own memory, behind whatever gfns. */
const OF_THE_VMM: ReadonlySet<string> = new Set(['host-writer', 'device', 'reclaimer', 'reaper', 'region']);
/** Actors that drive a vCPU, which another actor may run: KVM has them wait for each other. */
const BESIDE_A_VCPU: ReadonlySet<string> = new Set(['interrupter', 'page-state', 'mmio-device']);

/** Whether threads of this actor run vCPUs, of which each has one thread only. */
export function runsVcpus({ kind, mix }: Pick<ActorProfile, 'kind' | 'mix'>): boolean {
  return kind === 'vcpu' || (kind === 'mix' && (mix?.vcpu ?? 0) > 0);
}

/** One thread's program. */
export interface ActorProgram {
  name: string;
  kind: ActorProfile['kind'];
  address: number;
  stats: number;
  /** Number of the shard it lies in, with the guests it works on. */
  shard: number;
  /** CPU that its thread is to run on. */
  cpu?: number;
}

interface Target {
  guest: Guest;
  area: Guest['areas'][number];
  vcpu: number;
  vcpuIndex: number;
}

/** When the actors run, in nanoseconds of the host's monotonic clock. */
export interface Schedule {
  startNs: number;
  warmupNs: number;
  durationNs: number;
}

/**
 * Writes the programs of all actors. Every vCPU gets exactly one thread; every re-bindable slot exactly one rebinder, however many entries of that kind the
 * profile has: they are dealt out over the threads of all of them. A thread works in one shard: with
 * guests in several, an actor's threads are dealt over them in turn, and it needs one for each at least.
 */
export function writeActors(
  shards: readonly Shard[],
  actors: readonly ActorProfile[],
  guests: readonly Guest[],
  stutter?: Stutter,
): ActorProgram[] {
  const programs: ActorProgram[] = [];
  const dealt = new Map<string, number>();
  const used = [...new Set(guests.map(({ shard }) => shard))].toSorted((a, b) => a - b);
  for (const actor of actors) {
    if (actor.threads < used.length) {
      const text = `actors: ${actor.kind} has ${actor.threads} threads, and the guests live in ${used.length} shards; give it at least ${used.length}`;
      throw new UsageError('profile', text);
    }
    let index = 0;
    used.forEach((shard, n) => {
      const ofRole = actors.filter((other) => role(other) === role(actor));
      const total = ofRole.reduce((sum, { threads }) => sum + part(threads, used.length, n), 0);
      const key = `${role(actor)} ${shard}`;
      const first = dealt.get(key) ?? 0;
      const threads = part(actor.threads, used.length, n);
      dealt.set(key, first + threads);
      const here = guests.filter((guest) => guest.shard === shard);
      for (const targets of dealTargets(actor, { first, threads, total }, here)) {
        const home = shards[shard]!;
        const cpu = actor.cpus?.[index % actor.cpus.length];
        const written = writeProgram(home, actor, `${actor.kind}${index++}`, targets);
        writePacing(home, written.address, actor, stutter);
        seedProgram(home, written.address, programs.length);
        programs.push({ ...written, shard, ...(cpu === undefined ? {} : { cpu }) });
      }
    });
  }
  if (programs.length === 0) throw new UsageError('profile', 'actors: no actor has anything to work on');
  return programs;
}

/**
 * Gives all programs together a budget of so many recorded operations; of several shards each has its part, by its threads. Throws UsageError when a shard has no memory left.
 * @context before they start.
 */
export function writeBudget(shards: readonly Shard[], programs: readonly ActorProgram[], operations: number): void {
  let [left, threads] = [BigInt(operations), programs.length];
  for (const [n, { x, buffer }] of shards.entries()) {
    const here = programs.filter(({ shard }) => shard === n);
    if (here.length === 0) continue;
    const mine = (left * BigInt(here.length)) / BigInt(threads);
    [left, threads] = [left - mine, threads - here.length];
    const address = x.vmalloc(8n) >>> 0;
    if (address === 0) throw new UsageError('profile', 'operations: no memory left in the shard');
    const view = new DataView(buffer);
    view.setBigUint64(address, mine, true);
    for (const { address: at } of here) view.setUint32(at + program.PR_BUDGET, address, true);
  }
}

/** What the nth of `parts` gets of `whole` things dealt out. */
export function part(whole: number, parts: number, n: number): number {
  return Math.floor(whole / parts) + (n < whole % parts ? 1 : 0);
}

/** Actors of one role share what belongs to one thread alone. */
function role(actor: ActorProfile): string {
  return runsVcpus(actor) ? 'vcpu' : actor.kind;
}

/** Threads `first` to `first + threads` of the `total` that a profile has of one kind. */
interface Deal {
  first: number;
  threads: number;
  total: number;
}

/** Deals the areas that suit an actor kind over the threads of one entry; what belongs to one thread alone over those of all entries of the kind. */
function dealTargets(actor: ActorProfile, { first, threads, total }: Deal, guests: readonly Guest[]): Target[][] {
  const shares: Target[][] = Array.from({ length: threads }, () => []);
  const { kind } = actor;
  let turn = 0;
  const next = (): Target[] | undefined => shares[(turn++ % total) - first];
  for (const guest of guests) {
    const areas = guest.areas.filter((area) => suits(kind, area));
    if (runsVcpus(actor)) {
      guest.vcpus.forEach((vcpu, vcpuIndex) => {
        const mine = next();
        for (const area of areas) {
          // One vCPU is enough to race with moves of shared memory; the others keep to the private one.
          if (area.file !== 0 || vcpuIndex === 0) mine?.push({ guest, area, vcpu, vcpuIndex });
        }
      });
    } else if (kind === 'rebinder') {
      for (const area of areas) next()?.push({ guest, area, vcpu: 0, vcpuIndex: 0 });
    } else if (BESIDE_A_VCPU.has(kind)) {
      guest.vcpus.forEach((vcpu, vcpuIndex) => {
        for (const mine of shares) for (const area of areas) mine.push({ guest, area, vcpu, vcpuIndex });
      });
    } else if (kind === 'lifecycle') {
      // Works on guests of its own, which it makes: one place to note the present one.
      for (const mine of shares) if (mine.length === 0) mine.push({ guest, area: areas[0]!, vcpu: 0, vcpuIndex: 0 });
    } else {
      for (const mine of shares) for (const area of areas) mine.push({ guest, area, vcpu: 0, vcpuIndex: 0 });
    }
  }
  return shares.filter((mine) => mine.length > 0);
}

/** Whether actors of this kind work on an area: private memory is what most are for. */
function suits(kind: ActorProfile['kind'], { file }: Guest['areas'][number]): boolean {
  if (kind === 'vcpu' || kind === 'rebinder' || kind === 'lifecycle') return true;
  if (OF_THE_VMM.has(kind) || kind === 'interrupter' || kind === 'mmio-device') return true;
  return kind === 'discarder' || kind === 'cache-writer' ? file === 0 : file !== 0;
}

/** Operations of one step at most. */
function mostOperations({ kind, mix = {}, touch, range }: ActorProfile): number {
  if (kind === 'vcpu' || (kind === 'mix' && (mix.vcpu ?? 0) > 0)) return touch.batch;
  if (kind === 'rebinder') return 4; // two pieces go, two come
  if (kind === 'region') return 2;
  if (kind === 'device' || kind === 'mmio-device') return touch.batch + 2;
  // One for each page; and vm_create, own_slot, shadow_root, 8 launch_updates, launch_finish, vm_destroy.
  return kind === 'lifecycle' ? range.pages[1] + 13 : 1;
}

function writeProgram(
  shard: Shard,
  actor: ActorProfile,
  name: string,
  targets: readonly Target[],
): Omit<ActorProgram, 'shard'> {
  const bytes = program.PROGRAM_SIZE + targets.length * program.TARGET_SIZE;
  const address = shard.x.vmalloc(BigInt(bytes)) >>> 0;
  const stats = shard.x.vmalloc(BigInt(program.OP_COUNT * program.OPSTAT_SIZE)) >>> 0;
  if (address === 0 || stats === 0) throw new UsageError('profile', `actors: no memory left in the shard for ${name}`);
  const view = new DataView(shard.buffer, address, bytes);
  const u32 = (at: number, value: number): void => view.setUint32(at, value, true);
  const u64 = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
  const f64 = (at: number, value: number): void => view.setFloat64(at, value, true);
  const { touch, range } = actor;
  u32(program.PR_KIND, KINDS[actor.kind]);
  u32(program.PR_TARGETS, address + program.PROGRAM_SIZE);
  u32(program.PR_TARGET_COUNT, targets.length);
  u32(program.PR_STATS, stats);
  u32(program.PR_RANGE_MIN, range.pages[0]);
  u32(program.PR_RANGE_MAX, range.pages[1]);
  u32(program.PR_ALIGN, range.align);
  u32(program.PR_SIZES, range.sizes === 'uniform' ? program.SIZES_UNIFORM : program.SIZES_LOG_UNIFORM);
  u32(program.PR_STRADDLE, range.straddle ?? 0);
  f64(program.PR_SIZE_RATIO, (range.pages[1] + 1) / range.pages[0]);
  u32(program.PR_DISTRIBUTION, DISTRIBUTIONS[touch.distribution]);
  u32(program.PR_WRITE_FRACTION, fraction32(touch.write));
  u32(program.PR_BATCH, touch.batch);
  u32(program.PR_VALIDATE_FRACTION, fraction32(touch.validate));
  f64(program.PR_HOLD_NS, parseDuration(actor.hold ?? STORMER_HOLD));
  u32(program.PR_HOT_FRACTION, fraction32(touch.hot?.pages ?? 0.01));
  u32(program.PR_HOT_SHARE, fraction32(touch.hot?.share ?? 0.9));
  f64(program.PR_ZIPF_THETA, touch.theta);
  f64(program.PR_ZIPF_ALPHA, 1 / (1 - touch.theta));
  u32(program.PR_INSERT_FRACTION, fraction32(touch.insert));
  u64(program.PR_OP_LIMIT, actor.operations ?? 0);
  u32(program.PR_STEP_MOST, mostOperations(actor));
  u32(program.PR_PRIVATE_FRACTION, fraction32(actor.astray ?? ASTRAY));
  mixBounds(actor).forEach((bound, kind) => u32(program.PR_MIX + kind * 4, bound));
  targets.forEach((target, index) => {
    writeTarget(view, program.PROGRAM_SIZE + index * program.TARGET_SIZE, target, touch.theta);
  });
  return { name, kind: actor.kind, address, stats };
}

/** Bounds of the draws that mean each kind, by its number: from each on, those of the kinds before it and its own. */
function mixBounds({ mix = {} }: ActorProfile): number[] {
  const weights = MIX_KINDS.map((kind) => mix[kind] ?? 0);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const bounds = Array.from({ length: program.ACTOR_HOME_WORKER }, () => 0);
  if (total === 0) return bounds;
  return bounds.map((_, number) => {
    const upTo = MIX_KINDS.reduce((sum, kind, n) => sum + (KINDS[kind] <= number ? weights[n]! : 0), 0);
    return Math.round((upTo / total) * MIX_SCALE);
  });
}

/** Gives the nth program of a run its random streams. */
function seedProgram({ buffer }: Shard, address: number, n: number): void {
  const hostSeed = new DataView(buffer).getBigUint64(layout.SH_SEED, true);
  const view = new DataView(buffer, address, program.PROGRAM_SIZE);
  [program.PR_RNG, program.PR_PACING_RNG].forEach((stream, which) => {
    actorSeed(hostSeed, 2 * n + which).forEach((word, at) => view.setBigUint64(stream + at * 8, word, true));
  });
}

function writeTarget(view: DataView, base: number, target: Target, theta: number): void {
  const { guest, area } = target;
  const pages = area.size / 4096;
  const u32 = (at: number, value: number): void => view.setUint32(base + at, value, true);
  const u64 = (at: number, value: number): void => view.setBigUint64(base + at, BigInt(value), true);
  u32(program.TG_VM, guest.vm);
  u32(program.TG_VCPU, target.vcpu);
  u32(program.TG_FILE, area.file);
  u32(program.TG_SLOT_ID, area.slotId);
  u32(program.TG_SLOT_FLAGS, area.flags);
  u32(program.TG_SPARE_ID, guest.spareId + area.slotId);
  u32(program.TG_VCPU_INDEX, target.vcpuIndex);
  u32(program.TG_VCPU_COUNT, guest.vcpus.length);
  u64(program.TG_START_GFN, area.gpa / 4096);
  u64(program.TG_PAGE_COUNT, pages);
  u64(program.TG_FIRST_OFFSET, area.offset / 4096);
  u64(program.TG_HVA, area.hva);
  u64(program.TG_MOVE_GFN, (area.moveGpa ?? 0) / 4096);
  const zetan = zeta(pages, theta);
  view.setFloat64(base + program.TG_ZIPF_ZETAN, zetan, true);
  view.setFloat64(base + program.TG_ZIPF_ETA, (1 - (2 / pages) ** (1 - theta)) / (1 - zeta(2, theta) / zetan), true);
}

/** Sets the time window of all programs; called when all of them wait for it. */
export function schedule(shards: readonly Shard[], programs: readonly ActorProgram[], times: Schedule): void {
  for (const { address, shard } of programs) {
    const view = new DataView(shards[shard]!.buffer, address, program.PROGRAM_SIZE);
    view.setFloat64(program.PR_WARMUP_END_NS, times.startNs + times.warmupNs, true);
    view.setFloat64(program.PR_DEADLINE_NS, times.startNs + times.warmupNs + times.durationNs, true);
    // Last: the actor waits for it.
    view.setFloat64(program.PR_START_NS, times.startNs, true);
  }
}

function fraction32(share: number): number {
  return Math.min(0xffffffff, Math.round(share * 4294967296));
}

/** Sum of 1/i^theta for i in 1..n: exact up to 10,000, then by the Euler-Maclaurin integral (error below 1e-6). */
function zeta(n: number, theta: number): number {
  const exact = Math.min(n, 10_000);
  let sum = 0;
  for (let i = 1; i <= exact; i++) sum += i ** -theta;
  if (n > exact) sum += (n ** (1 - theta) - exact ** (1 - theta)) / (1 - theta) + (n ** -theta - exact ** -theta) / 2;
  return sum;
}
