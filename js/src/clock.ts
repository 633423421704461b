/** Real time beyond what the host meant to sleep that passes for the cluster between two looks at the clock. */
const STEP_MILLIS = 250;
/** The longest sleep while clients are connected: a longer one could not be told from a stopped process. */
const ATTENTIVE_MILLIS = 200;
/** The longest that `setTimeout` can. */
const ASLEEP_MILLIS = 2 ** 31 - 1;

/**
 * The cluster's own time, in microseconds since it began. It follows real time in capped steps: a
 * debugger's breakpoint, a suspended laptop or a frozen tab slows the cluster down and expires
 * nothing. Where nothing is due before now, time is let pass at once.
 */
export class Clock {
  #micros = 0;
  #lastReal = performance.now();
  #sleepMillis = 0;
  #wallOffset: number;
  /** What was skipped of the cluster's time, in microseconds: its wall clock is that far ahead. */
  #ahead: number;

  constructor(ahead = 0) {
    this.#ahead = ahead;
    this.#wallOffset = Date.now() + Math.floor(ahead / 1000);
  }

  get ahead(): number {
    return this.#ahead;
  }

  /** The cluster's wall clock, in milliseconds. */
  get wall(): number {
    return this.#wallOffset + Math.floor(this.#micros / 1000);
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
    const step = due === undefined ? elapsed : Math.min(elapsed, this.#sleepMillis + STEP_MILLIS);
    this.#sleepMillis = 0;
    this.#micros += Math.round(step * 1000);
    // The wall clock of records is that of the clients outside, whatever the cluster slept through.
    if (step < elapsed) this.#wallOffset = Date.now() - Math.floor((this.#micros - this.#ahead) / 1000);
    return this.#micros;
  }

  /** Lets the cluster's time pass at once, until `micros` if that is ahead. */
  skipTo(micros: number): void {
    const skipped = Math.max(0, micros - this.#micros);
    this.#ahead += skipped;
    this.#micros += skipped;
  }

  /** How long to sleep before looking at the clock again; with clients there are sessions to expire. */
  sleep(due: number, hasClients: boolean): number {
    const longest = hasClients ? ATTENTIVE_MILLIS : ASLEEP_MILLIS;
    this.#sleepMillis = Math.min(longest, Math.max(0, Math.ceil((due - this.#micros) / 1000)));
    return this.#sleepMillis;
  }
}
