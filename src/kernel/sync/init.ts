// Boot of the sync layer: the tables of lockdep and lockstat, the first RCU grace period.
import { lockdepInit } from './lockdep';
import { lockstatInit } from './lockstat';
import { rcuInit } from './rcu';

/** Returns 0 or -ENOMEM. @context boot, one thread; the heap and the calling task are ready. */
export function syncInit(): i32 {
  rcuInit();
  lockstatInit();
  return lockdepInit();
}
