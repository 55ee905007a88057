// `perturb: swarm`: what is injected is drawn from the run's seed. Each kind of trouble is there or not, which finds more than a mixture of all of them
// (Groce et al., Swarm Testing, 2012), and its strength is log-uniform: each power of two alike. The same seed draws the same.
import { parseDuration } from '../host/units.js';
import { unitStream } from './random.js';
import type { ActorProfile, Perturb, Profile } from './schema.js';

/** Chance that one kind of trouble is in a run. */
const SHARE = 0.5;
const MOST_ACTORS = 256;
/** The longest call of the platform hook, microseconds: guest_memfd calls it for each folio, the others once for a range. */
const HOOK_US = { 'rfc-v7': 5000, 'rfc-v8': 5000, 'guest-memfd': 100 };

/** Draws from the swarm's stream of a seed. */
class Draw {
  readonly #next: () => number;

  constructor(seed: bigint) {
    this.#next = unitStream(seed, 0x737761726dn);
  }

  /** `make()` half of the time. What it draws is drawn either way, so that one kind does not change the others. */
  sometimes<T>(make: () => T): T | undefined {
    const isIn = this.#next() < SHARE;
    const made = make();
    return isIn ? made : undefined;
  }

  between(least: number, most: number): number {
    return least * (most / least) ** this.#next();
  }

  share(least: number, most: number): number {
    return Number(this.between(least, most).toPrecision(2));
  }

  /** A duration in text; bounds in microseconds. */
  time(leastUs: number, mostUs: number): string {
    return `${Math.max(1, Math.round(this.between(leastUs, mostUs)))}us`;
  }
}

/** The profile with what the swarm has drawn in place of `perturb: swarm`: explicit, and so it runs again as it is. Other profiles come back unchanged. */
export function drawSwarm(profile: Profile, seed: bigint): Profile & { perturb: Perturb } {
  const { perturb, stutter, actors } = profile;
  if (perturb !== 'swarm') return { ...profile, perturb };
  const draw = new Draw(seed);
  // A pause is no sign of being stuck: it stays far below that limit.
  const longestUs = Math.min(500_000, parseDuration(profile.stuckAfter) / 1000 / 4);
  const drawn: Perturb = {
    meanPoints: Math.round(draw.between(32, 8192)),
    delay: draw.time(1, 200),
    yield: draw.share(1 / 64, 1),
  };
  const longHold = draw.sometimes(() => ({ chance: draw.share(0.001, 0.3), length: draw.time(100, 10_000) }));
  const victim = draw.sometimes(() => {
    const every = draw.time(10_000, 1_000_000);
    const most = draw.time(Math.min(2000, longestUs), longestUs);
    return { threads: 1, every, pause: [`${Math.min(1000, Number.parseInt(most, 10))}us`, most] as [string, string] };
  });
  const allocationFailure = draw.sometimes(() => draw.share(0.000_01, 0.01));
  const leave = draw.sometimes(() => ({ every: draw.time(50_000, 1_000_000), away: draw.time(1000, 100_000) }));
  const slowHook = draw.sometimes(() => ({
    chance: draw.share(0.01, 1),
    length: draw.time(10, HOOK_US[profile.protocol]),
  }));
  const slowIpi = draw.sometimes(() => ({ chance: draw.share(0.0001, 0.01), length: draw.time(10, 2000) }));
  const pauses = draw.sometimes(() => ({ run: draw.time(50_000, 2_000_000), pause: draw.time(10_000, 500_000) }));
  const hold = draw.sometimes(() => draw.time(1, 5000));
  const threads = actors.reduce((sum, actor) => sum + actor.threads, 0);
  return {
    ...profile,
    perturb: {
      ...drawn,
      ...(longHold === undefined ? {} : { longHold }),
      ...(victim === undefined ? {} : { victim }),
      ...(allocationFailure === undefined ? {} : { allocationFailure }),
      ...(leave === undefined ? {} : { leave }),
      ...(slowHook === undefined ? {} : { slowHook }),
      ...(slowIpi === undefined ? {} : { slowIpi }),
    },
    ...(pauses === undefined || stutter !== undefined ? {} : { stutter: pauses }),
    actors: hold === undefined || threads >= MOST_ACTORS ? actors : [...actors, stormer(actors[0]!, hold)],
  };
}

/** A thread that keeps the RMP entries locked that the first actor works with. */
function stormer({ touch, range }: ActorProfile, hold: string): ActorProfile {
  return {
    kind: 'rmp-stormer',
    threads: 1,
    touch: { ...touch, validate: 0 },
    range,
    arrival: 'constant',
    burst: 1,
    hold,
  };
}
