// The public API's host: one or more shards with their kernels, a worker pool, oracles and statistics.
import { cpus } from 'node:os';
import * as layout from '../kernel/abi/layout.js';
import { checkActors, runActor, type ActorOfPool, type ActorsRun } from './actor-run.js';
import { nowNs } from './clock.js';
import * as program from '../kernel/abi/program.js';
import type { HostHandle } from './attach.js';
import { parseCosts, readCosts } from './costs.js';
import { enableDebug, prDebug } from './debug.js';
import { KernelOops, UsageError, type Violation } from './errors.js';
import { loadHook } from './hook.js';
import { HOST_DEFAULTS, hostOptions, type HostOptions } from './host-options.js';
import { createLog, type Log } from './log.js';
import { checkOptions, given, shown } from './options.js';
import { protocolCode } from './protocols.js';
import { createPool, type ActorReply, type Pool } from './pool.js';
import { bootShards, planShards } from './boot.js';
import type { Shard } from './shard.js';
import { failMemory, placeOf, stopShards, violationsOf } from './shards.js';
import {
  lockStatistics,
  pageStatistics,
  rmpStatistics,
  type LockStatistics,
  type PageStatistics,
} from './statistics.js';
import { parseDuration } from './units.js';
import { variantBits } from './variants.js';
import type { FileOptions } from './object-options.js';
import { File, Vm } from './objects.js';
import type { VmOptions } from './vm-options.js';
import { Supervisor } from './supervisor.js';
import { injectedInto, type Injected } from './trouble.js';

/** Counters of a host, added up over its shards; they may be read while threads work. */
export interface HostStatistics {
  pages: PageStatistics;
  locks: Record<string, LockStatistics>;
  rmp: Record<string, number>;
}

/** Something that runs on a host and comes to a result: `workload()` makes one of actors. */
export interface Workload<R> {
  runOn(host: Host): Promise<R>;
}

/** How a set of actors ended. */
export interface RunEnd {
  replies: ActorReply[];
  died: string[];
}

/** A host: its memory, its kernels, a pool of threads, the oracles. Made by Host.create(), ended by close(). */
export class Host {
  /** The shards, in the order of their memory. */
  readonly shards: readonly Shard[];
  /** For those who work with this host on its own thread. */
  readonly log: Log;
  readonly #options: HostOptions;
  readonly #hostViolations: Violation[] = [];
  #pool: Pool | undefined;
  #homeWorkers: Promise<RunEnd> | undefined;
  /** Threads of the pool that are home workers. */
  #homes = 0;
  #closed = false;
  readonly #stuckMs: number;

  private constructor(options: HostOptions, shards: readonly Shard[], log: Log) {
    this.log = log;
    this.#options = options;
    this.#stuckMs = parseDuration(options.stuckAfter ?? HOST_DEFAULTS.stuckAfter) / 1e6;
    this.shards = shards;
  }

  /** The first shard; of most hosts the only one. */
  get shard(): Shard {
    return this.shards[0]!;
  }

  /** Boots a host. Throws UsageError when an option makes no sense; nothing is left behind then. */
  static async create(options: HostOptions = {}): Promise<Host> {
    checkOptions('Host.create', hostOptions, options);
    const { build, protocol, partitions, stuckAfter, hook, logLevel, variants } = {
      ...HOST_DEFAULTS,
      ...given(options),
    };
    const { workers = partitions } = options;
    if (parseDuration(stuckAfter) < 1e6)
      throw new UsageError('stuckAfter', `stuckAfter: ${stuckAfter} is too short; at least 1ms`);
    const maps = planShards(options);
    if (variants.length > 0 && build !== 'perturbed')
      throw new UsageError('variants', `variants: the ${build} build has none; use build perturbed`);
    const log = createLog(logLevel, options.onLog);
    const userHook = hook === 'snp' || hook === 'none' ? undefined : await loadHook(hook);
    const { seed, oracles, inUseWritable, perturb, costs } = options;
    const shards = bootShards(
      maps,
      {
        build,
        partitions,
        maxTasks: workers + 16,
        protocol: protocolCode(protocol),
        hook: hook === 'snp' ? layout.HOOK_SNP : hook === 'none' ? layout.HOOK_NONE : layout.HOOK_USER,
        variants: variantBits(variants),
        ...(seed === undefined ? {} : { seed }),
        ...(oracles === undefined ? {} : { oracles }),
        ...(inUseWritable === undefined ? {} : { inUseWritable }),
        ...(perturb === undefined
          ? {}
          : { perturbMeanPoints: perturb.meanPoints, perturbNs: perturb.delayNs, trouble: perturb }),
        ...(costs === undefined ? {} : { costs: typeof costs === 'string' ? readCosts(costs) : parseCosts(costs) }),
      },
      { prDebug, ...(userHook === undefined ? {} : { userHook }) },
    );
    const { debug } = options;
    if (debug !== undefined && shards.map(({ words }) => enableDebug(words, debug)).includes(0)) {
      throw new UsageError(
        'debug',
        `debug: no pr_debug site matches '${options.debug}'; try 'kvm_restrictedmem_*,restrictedmem_*'`,
      );
    }
    const pages = maps.reduce((sum, { pfnCount }) => sum + pfnCount, 0);
    log.info({ pages, shards: shards.length, partitions, build, protocol, hook, workers, variants }, 'host created');
    return new Host({ ...options, workers }, shards, log);
  }

  /** A hidden file for private memory. Throws KernelError (ENOMEM) when the host has no room for it. It lies in the shard asked for, or else the one whose memory is least used. */
  createRestrictedMem(options: FileOptions): File {
    return File.create(this.shards, placeOf('createRestrictedMem', this.shards, options), options);
  }

  /** A guest with its vCPUs, in the shard asked for, or else the one whose memory is least used. It can only be given files of its own shard. */
  createVm(options: VmOptions = {}): Vm {
    return Vm.create(this.shards, placeOf('createVm', this.shards, options), options);
  }

  /** Reports a hardware memory error on a page, which the guests that have it are told of. PFNs are those of the whole host. Returns 0, also for a page that nobody has. */
  memoryFailure(pfn: number): number {
    return failMemory(this.shards, pfn);
  }

  /** Post it to another thread and call attachHost there. */
  handle(): HostHandle {
    return { shard: this.shard.handle, shards: this.shards.map((shard) => shard.handle) };
  }

  /** Runs a workload to its end. What it comes to includes violations; see audit() for the state at rest. */
  async run<R>(workload: Workload<R>): Promise<R> {
    if (typeof (workload as Workload<R> | null | undefined)?.runOn !== 'function')
      throw new UsageError(
        'run',
        `run: ${shown(workload)} is no workload; make one with workload({ vms, actors, duration })`,
      );
    return workload.runOn(this);
  }

  /**
   * Runs actor programs on the pool, one thread each, and waits for all. A worker that dies fails the run; nothing hangs. `onReady` is called once
   * every actor has attached: the moment to set their starting time.
   */
  async runActors(actors: readonly ActorOfPool[], onReady: () => void = () => this.#startNow(actors)): Promise<RunEnd> {
    checkActors(actors, onReady, this.shards.length);
    this.#admit(actors.length);
    this.#pool ??= createPool(this.#options.workers!);
    const pool = this.#pool;
    const died: string[] = [];
    const sets = this.shards.map((shard, n) =>
      this.#actorsOf(
        shard,
        actors.filter((actor) => (actor.shard ?? 0) === n),
        pool,
        died,
      ),
    );
    const watchdog = setInterval(
      () => sets.forEach(({ supervisor }) => supervisor.look()),
      sets[0]!.supervisor.intervalMs,
    );
    const slots = this.shards.map(() => 0);
    const runs = actors.map((actor) => runActor(sets[actor.shard ?? 0]!, actor, slots[actor.shard ?? 0]!++));
    const ready = setInterval(() => {
      const here = ({ presence }: ActorsRun): boolean =>
        new Int32Array(presence).every((_, slot, words) => Atomics.load(words, slot) !== 0);
      if (!sets.every(here)) return;
      clearInterval(ready);
      this.log.info({ actors: actors.map(({ name }) => name) }, 'actors started');
      onReady();
    }, 2);
    const replies = await Promise.all(runs);
    clearInterval(ready);
    clearInterval(watchdog);
    this.log.info({ died, violations: this.violations().length }, 'actors ended');
    return { replies, died };
  }

  /** Throws UsageError when so many actors would not find a thread each. */
  #admit(count: number): void {
    if (this.#closed) throw new UsageError('run', 'the host is closed');
    const { workers } = this.#options;
    const serving = this.#homes === 0 ? '' : `, of which ${this.#homes} are home workers`;
    if (count <= workers! - this.#homes) return;
    throw new UsageError('run', `${count} actors need as many workers; this host has ${workers}${serving}`);
  }

  /** What the actors of one shard share, and who looks after them. */
  #actorsOf(shard: Shard, actors: readonly ActorOfPool[], pool: Pool, died: string[]): ActorsRun {
    const presence = new SharedArrayBuffer(actors.length * 4);
    const fail = (violation: Violation): void => this.#fail(violation);
    const supervisor = new Supervisor({
      shard,
      actors: actors.map(({ name }) => name),
      presence,
      stuckMs: this.#stuckMs,
      fail,
      terminate: () => this.#terminate(pool),
      log: this.log,
    });
    const { log, shards } = this;
    const { hook, logLevel = HOST_DEFAULTS.logLevel } = this.#options;
    return { shard, shards, pool, presence, supervisor, died, hook, logLevel, log, fail };
  }

  /**
   * Starts one home worker a partition of each shard, each on a thread of the pool. From then on `file.punchHole({ fanout: true })` spreads the pages of a large
   * range over them. Each is bound to a CPU of its own as far as there are enough (Linux, taskset): a system's scheduler may well wake all of them onto the
   * CPU of the caller. They end with the host. Resolves when all serve. Throws UsageError when the host has fewer workers than partitions in all its shards.
   */
  async startHomeWorkers(): Promise<void> {
    const partitions = this.#options.partitions ?? HOST_DEFAULTS.partitions;
    this.#admit(partitions * this.shards.length);
    const programs = this.shards.flatMap(({ x, buffer }, shard) =>
      Array.from({ length: partitions }, (_, partition) => {
        const address = x.vmalloc(BigInt(program.PROGRAM_SIZE)) >>> 0;
        const view = new DataView(buffer, address, program.PROGRAM_SIZE);
        view.setUint32(program.PR_KIND, program.ACTOR_HOME_WORKER, true);
        view.setUint32(program.PR_PARTITION, partition, true);
        const home = shard * partitions + partition;
        return { name: `home${home}`, program: address, shard, cpu: home % cpus().length };
      }),
    );
    this.#homeWorkers = this.runActors(programs);
    this.#homes = programs.length;
    const serve = (): boolean => this.shards.every(({ x }) => x.homeWorkerCount() >= partitions);
    while (!serve() && this.violations().length === 0) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Gives actors that have no starting time the present one. */
  #startNow(actors: readonly ActorOfPool[]): void {
    for (const { program: address, shard = 0 } of actors) {
      const view = new DataView(this.shards[shard]!.buffer, address, program.PROGRAM_SIZE);
      if (view.getFloat64(program.PR_START_NS, true) === 0) view.setFloat64(program.PR_START_NS, nowNs(), true);
    }
  }

  /** Ends all threads of a pool at once: only those of a failed run, for they may hold locks. */
  #terminate(pool: Pool): void {
    if (this.#pool === pool) this.#pool = undefined;
    void pool.close();
  }

  #fail(violation: Violation): void {
    this.#hostViolations.push(violation);
    stopShards(this.shards, layout.STOP_OOPS);
  }

  /** Asks every actor to end at its next operation. */
  stop(): void {
    stopShards(this.shards, layout.STOP_REQUESTED);
  }

  /** Everything that was found wrong so far. */
  violations(): Violation[] {
    return [...violationsOf(this.shards), ...this.#hostViolations];
  }

  /** Audits the whole state at rest and returns all violations. No actor may run. */
  auditAll(): Violation[] {
    for (const { x } of this.shards) x.sysAudit();
    return this.violations();
  }

  /** As auditAll, but throws KernelOops when there is any violation. */
  audit(): void {
    const found = this.auditAll();
    if (found.length > 0) throw new KernelOops(found);
  }

  /** Pages, lock classes and RMP instructions so far. Threads may be at work: what they count meanwhile is partly seen. */
  stats(): HostStatistics {
    return { pages: pageStatistics(this.shards), locks: lockStatistics(this.shards), rmp: rmpStatistics(this.shards) };
  }

  /** What the perturbed build has injected beside delays, so far. */
  injected(): Injected {
    return injectedInto(this.shards);
  }

  /** Stops what still runs and ends the pool. The host is of no use afterwards. */
  async close(): Promise<void> {
    this.#closed = true;
    this.stop();
    await this.#homeWorkers;
    await this.#pool?.close();
    this.#pool = undefined;
    for (const shard of this.shards) shard.left = true;
  }
}
