/** What every error of this package is: a class to catch by, a code to switch on, a sentence to read. */
export class KafkaShoreError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: { cause?: unknown }) {
    super(message);
    if (options && 'cause' in options) (this as { cause?: unknown }).cause = options.cause;
    this.code = code;
    this.name = new.target.name;
  }
}

/** The first argument of `create` names no store. */
export class InvalidUriError extends KafkaShoreError {
  constructor(message: string) {
    super('INVALID_URI', message);
  }
}

/** An option, or a flag of the command line, that means nothing. */
export class InvalidOptionError extends KafkaShoreError {
  constructor(message: string) {
    super('INVALID_OPTION', message);
  }
}

/** Something that this runtime cannot do, such as `file://` in a browser. */
export class UnsupportedError extends KafkaShoreError {
  constructor(message: string) {
    super('UNSUPPORTED', message);
  }
}

/** Who has a store open. */
export interface StoreHolder {
  /** In words: `process 4242 on build-7`, or the address of a page. */
  readonly description: string;
  readonly pid?: number;
  readonly host?: string;
  /** When it was opened, in milliseconds since 1970. */
  readonly since?: number;
}

/** The store is open elsewhere; two clusters on one store would destroy it. */
export class StoreLockedError extends KafkaShoreError {
  readonly uri: string;
  readonly holder: StoreHolder;

  constructor(uri: string, holder: StoreHolder) {
    const since = holder.since === undefined ? '' : ` since ${new Date(holder.since).toISOString()}`;
    super('STORE_LOCKED', `${uri} is in use by ${holder.description}${since}. Close it there, or open another store.`);
    this.uri = uri;
    this.holder = holder;
  }
}

/** The store was written by a newer kafka-shore. */
export class StoreVersionError extends KafkaShoreError {
  constructor(uri: string, found: unknown, known: number) {
    super(
      'STORE_VERSION',
      `${uri} has the format version ${String(found)}; this release reads ${known}. Open it with a newer kafka-shore.`,
    );
  }
}

/** The store could not be opened or emptied. */
export class StoreFailedError extends KafkaShoreError {
  constructor(message: string, cause?: unknown) {
    super('STORE_FAILED', message, { cause });
  }
}

/** The cluster was closed, or is being reset. */
export class ClosedError extends KafkaShoreError {
  constructor(message = 'This cluster is closed. Create another one with KafkaShore.create().') {
    super('CLOSED', message);
  }
}

/** The address could not be listened on. */
export class ListenError extends KafkaShoreError {
  constructor(message: string, cause?: unknown) {
    super('LISTEN_FAILED', message, { cause });
  }
}

/** A broken invariant of the broker itself: a bug. `reset()`, or another `create`, starts anew. */
export class CoreFailedError extends KafkaShoreError {
  constructor(message: string, cause?: unknown) {
    super('CORE_FAILED', message, { cause });
  }
}

/** The broker refused a request, in Kafka's own terms. */
export class BrokerError extends KafkaShoreError {
  /** Kafka's error code, such as 36 for TOPIC_ALREADY_EXISTS. */
  readonly errorCode: number;

  constructor(errorCode: number, message: string) {
    super('BROKER_ERROR', message);
    this.errorCode = errorCode;
  }
}

/** The words of anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
