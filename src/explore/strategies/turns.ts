// A random walk for a while, then all threads by turns: what two threads do to one another in lockstep, such as stepping back for each other for ever, no
// walk keeps up for long. The livelock itself is seen by the machine (lasso.ts). After the fair schedules that Musuvathi and Qadeer put behind unfair ones
// ("Fair Stateless Model Checking", PLDI 2008); here the turns have lengths drawn for each execution, the same in every round or other ones from round to round.
import { Random } from '../random.js';
import { RoundRobin } from '../round-robin.js';
import type { Strategy, View } from '../strategy.js';
import { RandomWalk } from './random.js';

/** Turns have one step in half of the executions, two in a quarter, and so on to so many. */
const LONGEST_TURN = 8;
/** Rounds after which the lengths come again: one in half of the executions, up to so many in the others. */
const MOST_ROUNDS = 4;
/** In half of the executions nothing goes before; in the others fewer steps than 2 to the so-manieth, each power as likely as the others. */
const WALK_POWERS = 9;
const SWITCHES = 0.1;

export class Turns implements Strategy {
  readonly name = 'turns';
  readonly exhaustive = false;
  readonly #random = new Random();
  readonly #walk = new RandomWalk(SWITCHES);
  readonly #turns = new RoundRobin();
  #from = 0;
  #lengths: number[] = [1];

  begin(index: number, seed: number): boolean {
    this.#random.reseed(seed);
    this.#walk.begin(index, seed);
    this.#turns.begin();
    this.#from = this.#random.below(2) * this.#random.below(2 ** this.#random.below(WALK_POWERS + 1));
    const rounds = this.#random.below(2) === 0 ? 1 : 2 + this.#random.below(MOST_ROUNDS - 1);
    this.#lengths = Array.from({ length: rounds }, () => Math.min(LONGEST_TURN, 1 + Math.clz32(this.#random.next())));
    return true;
  }

  pick(view: View): number {
    return view.step < this.#from ? this.#walk.pick(view) : this.#turns.pick(view, this.#lengths);
  }

  choose(count: number): number {
    return this.#random.below(count);
  }
}
