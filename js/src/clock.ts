/** At most this much of real time passes for the cluster between two looks at the clock. */
const STEP_MILLIS = 250;
/** How often the clock is looked at while something is due, so that no step reaches the cap. */
const LOOK_MILLIS = 200;

/**
 * The cluster's own time, in microseconds since it began. It follows real time in capped steps: a
 * debugger's breakpoint, a suspended laptop or a frozen tab slows the cluster down and expires
 * nothing. Where nothing is due before now, time is let pass at once.
 */
export class Clock {
  #micros = 0;
  #lastReal = performance.now();
  #wallOffset = Date.now();

  get micros(): number {
    return this.#micros;
  }

  /** What the wall clock read when the cluster's time was zero, in milliseconds. */
  get wallOffset(): number {
    return this.#wallOffset;
  }

  /** `due` is when the core wants to be woken. */
  advance(due: number | undefined): number {
    const real = performance.now();
    const elapsed = Math.max(0, real - this.#lastReal);
    this.#lastReal = real;
    const step = due === undefined ? elapsed : Math.min(elapsed, STEP_MILLIS);
    this.#micros += Math.round(step * 1000);
    // The wall clock of records is that of the clients outside, whatever the cluster slept through.
    if (step < elapsed) this.#wallOffset = Date.now() - Math.floor(this.#micros / 1000);
    return this.#micros;
  }

  /** How long to sleep before looking at the clock again. */
  sleepMillis(due: number): number {
    return Math.min(LOOK_MILLIS, Math.max(0, Math.ceil((due - this.#micros) / 1000)));
  }
}
