// Which two operations may not be swapped: what partial-order reduction knows of the model. An operation touches words (an address divided by 4, or any
// other number that names a variable), each to read or to write, or it takes or releases a lock that the scheduler itself models.

/** Words [first, end) that an operation reads or writes. */
export interface Touch {
  first: number;
  end: number;
  write: boolean;
}

/** What a thread announces before it does it. */
export interface Operation {
  /** 'access': touches only. 'lock' waits until `lock` is free; 'unlock' frees it. A trylock is an access: it is never disabled. */
  kind: 'access' | 'lock' | 'unlock';
  touches: readonly Touch[];
  lock?: number;
}

function overlap(a: Touch, b: Touch): boolean {
  return (a.write || b.write) && a.first < b.end && b.first < a.end;
}

/** Whether the order of two operations of different threads can matter. */
export function conflict(a: Operation, b: Operation): boolean {
  if (a.lock !== undefined && a.lock === b.lock) return true;
  return a.touches.some((touch) => b.touches.some((other) => overlap(touch, other)));
}
