// One thread that runs several actors: when a load is to have fewer threads than its profile has actors. Round by round, each actor whose step is due makes
// one; so none starves, however far another one is behind its rate. Between the rounds, when nothing is due, the thread sleeps.
import { SH_STOP, TASK_PROGRAM } from '../abi/layout';
import {
  END_DEADLINE, END_LEFT, END_LIMIT, END_STOPPED, PR_AGAIN, PR_BEGAN_NS, PR_BURST, PR_BURST_LEFT, PR_DEADLINE_NS, PR_DUE_NS, PR_KIND, PR_LATE_NS, PR_LOAD_NS, PR_NEXT, PR_OPEN, PR_OVER,
  PR_TASK, PR_THINK_NS, PR_VERDICT, PR_VICTIM,
} from '../abi/program';
import { drawLeave, victimAwait } from '../perturb';
import { atomicLoad32, current, load32, loadF64, nowNs, store32, storeF64 } from '../point';
import { rcuAllQs } from '../sync/rcu';
import { heartbeat } from '../task';
import { grant } from './budget';
import { drawThink, firstArrival, instantOf, nextArrival, pauseEnd, waitUntil } from './pacing';
import { account, leaves, missed, step, waitForStart } from './run';

/** Runs the programs that begin with `first`, linked by PR_NEXT. Returns the END_* of the first. @context as runProgram. */
export function runInTurn(first: usize): i32 {
  let running: u32 = 0;
  let victim = false;
  for (let program = first; program != 0; program = load32(program + PR_NEXT)) {
    begin(program);
    running++;
    if (load32(program + PR_VICTIM) != 0) victim = true;
  }
  for (let program = first; running != 0 && program != 0; program = load32(program + PR_NEXT)) {
    if (!waitForStart(program)) running = 0;
    else if (load32(program + PR_AGAIN) == 0) firstDue(program);
  }
  const leaveNs = drawLeave();
  if (PERTURBED && victim) victimAwait();
  while (running != 0 && atomicLoad32(SH_STOP) == 0) {
    heartbeat();
    rcuAllQs();
    if (PERTURBED && leaveNs != 0 && leaves(first, leaveNs, nowNs())) return allLeft(first);
    const idleUntilNs = round(first);
    if (idleUntilNs > 0) waitUntil(idleUntilNs);
    running = 0;
    for (let program = first; program != 0; program = load32(program + PR_NEXT)) running += 1 - load32(program + PR_OVER);
  }
  return <i32>load32(first + PR_VERDICT);
}

function begin(program: usize): void {
  store32(current + TASK_PROGRAM, <u32>program);
  store32(program + PR_TASK, <u32>current);
  if (load32(program + PR_AGAIN) != 0) return;
  store32(program + PR_OVER, 0);
  store32(program + PR_VERDICT, <u32>END_STOPPED);
}

/** The thread leaves its actors; another goes on where they are. */
function allLeft(first: usize): i32 {
  for (let program = first; program != 0; program = load32(program + PR_NEXT)) {
    store32(program + PR_AGAIN, 1);
    store32(program + PR_TASK, 0);
  }
  return END_LEFT;
}

function firstDue(program: usize): void {
  if (load32(program + PR_OPEN) == 0) storeF64(program + PR_DUE_NS, 0);
  else arrive(program, firstArrival(program));
}

/** The next arrival of an open loop is at load time `t`. */
function arrive(program: usize, t: f64): void {
  storeF64(program + PR_LOAD_NS, t);
  store32(program + PR_BURST_LEFT, load32(program + PR_BURST));
  storeF64(program + PR_DUE_NS, instantOf(program, t));
}

/** Lets each program make a step that is due. Returns when the next one is if none was, else 0. */
function round(first: usize): f64 {
  let stepped = false;
  let nextNs = Infinity;
  for (let program = first; program != 0 && atomicLoad32(SH_STOP) == 0; program = load32(program + PR_NEXT)) {
    if (load32(program + PR_OVER) != 0) continue;
    const now = nowNs();
    const deadlineNs = loadF64(program + PR_DEADLINE_NS);
    const dueNs = loadF64(program + PR_DUE_NS);
    if (deadlineNs > 0 && now >= deadlineNs) {
      pastDeadline(program);
    } else if (now < dueNs) {
      nextNs = min<f64>(nextNs, deadlineNs > 0 ? min<f64>(dueNs, deadlineNs) : dueNs);
    } else {
      store32(current + TASK_PROGRAM, <u32>program);
      if (load32(program + PR_OPEN) == 0) closedStep(program, now);
      else openStep(program, now, dueNs);
      stepped = true;
    }
  }
  return stepped || nextNs == Infinity ? 0 : nextNs;
}

function end(program: usize, verdict: i32): void {
  store32(program + PR_VERDICT, <u32>verdict);
  store32(program + PR_OVER, 1);
}

function pastDeadline(program: usize): void {
  if (load32(program + PR_OPEN) == 0) end(program, END_DEADLINE);
  else end(program, missed(program, loadF64(program + PR_LOAD_NS), load32(program + PR_BURST_LEFT)));
}

function closedStep(program: usize, now: f64): void {
  const resumeNs = pauseEnd(program, now);
  if (resumeNs > now) {
    storeF64(program + PR_DUE_NS, resumeNs);
    return;
  }
  if (!grant(program, now) || account(program, step(program, load32(program + PR_KIND), now))) end(program, END_LIMIT);
  else if (loadF64(program + PR_THINK_NS) != 0) storeF64(program + PR_DUE_NS, nowNs() + drawThink(program));
}

function openStep(program: usize, now: f64, dueNs: f64): void {
  storeF64(program + PR_BEGAN_NS, now);
  if (now - dueNs > loadF64(program + PR_LATE_NS)) storeF64(program + PR_LATE_NS, now - dueNs);
  if (!grant(program, dueNs) || account(program, step(program, load32(program + PR_KIND), dueNs))) {
    end(program, END_LIMIT);
    return;
  }
  const left = load32(program + PR_BURST_LEFT) - 1;
  store32(program + PR_BURST_LEFT, left);
  if (left == 0) arrive(program, nextArrival(program, loadF64(program + PR_LOAD_NS)));
}
