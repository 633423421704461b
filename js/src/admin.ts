import { BrokerError, ClosedError, InvalidOptionError } from './errors.js';
import { Answer, Request } from './frame.js';
import type { ProducerState, TopicOptions, TransactionState } from './types.js';

/** A connection that carries whole frames, for the few requests that this package makes itself. */
export interface FrameSocket {
  on(event: 'data' | 'end', listener: (bytes: Uint8Array) => void): unknown;
  write(bytes: Uint8Array): unknown;
  destroy(): unknown;
}

/** What is asked, with the newest version that this package knows. */
const CREATE_TOPICS = { key: 19, version: 5 } as const;
const DESCRIBE_PRODUCERS = { key: 61, version: 0 } as const;
const DESCRIBE_TRANSACTIONS = { key: 65, version: 0 } as const;
const LIST_TRANSACTIONS = { key: 66, version: 0 } as const;
const TIMEOUT_MILLIS = 30_000;

/** Creates a topic as any client does: by a CreateTopics request. */
export async function createTopic(socket: FrameSocket, name: string, options: TopicOptions): Promise<void> {
  const { partitions = -1, configs = {} } = options;
  if (!isInt32(partitions)) throw new InvalidOptionError(`partitions is a whole number, not '${String(partitions)}'`);
  const request = new Request(CREATE_TOPICS);
  request.array([name], (topic) => {
    request.string(topic).i32(partitions).i16(-1).array([], () => undefined);
    request.array(Object.entries(configs), ([key, value]) => request.string(key).string(value).end()).end();
  });
  request.i32(TIMEOUT_MILLIS).i8(0).end();
  const answer = await ask(socket, request);
  answer.i32();
  // One topic was asked for. What its answer says beyond the error is not looked at.
  answer.array(() => {
    answer.string();
    check(answer, `The broker refused the topic '${name}'`);
  });
}

/** The producers that a partition's leader remembers, by a DescribeProducers request. */
export async function describeProducers(socket: FrameSocket, topic: string, partition: number): Promise<ProducerState[]> {
  if (!isInt32(partition)) throw new InvalidOptionError(`a partition is a whole number, not '${String(partition)}'`);
  const request = new Request(DESCRIBE_PRODUCERS);
  request.array([topic], () => request.string(topic).array([partition], () => request.i32(partition)).end()).end();
  const answer = await ask(socket, request);
  answer.i32();
  const topics = answer.array(() => {
    answer.string();
    const partitions = answer.array(() => {
      answer.i32();
      check(answer, `The broker does not describe the producers of ${topic}-${partition}`);
      const producers = answer.array(() => readProducer(answer));
      answer.end();
      return producers;
    });
    answer.end();
    return partitions;
  });
  return topics.flat(2);
}

/** Every transactional id that the coordinator knows, by ListTransactions and DescribeTransactions. */
export async function describeTransactions(socket: FrameSocket): Promise<TransactionState[]> {
  const list = new Request(LIST_TRANSACTIONS);
  list.array([], () => undefined).array([], () => undefined).end();
  const listed = await ask(socket, list);
  listed.i32();
  const code = listed.i16();
  if (code !== 0) throw new BrokerError(code, `The broker does not list its transactions: error code ${code}.`);
  listed.array(() => listed.string());
  const ids = listed.array(() => {
    const id = listed.string();
    listed.i64();
    listed.string();
    listed.end();
    return id;
  });
  const request = new Request(DESCRIBE_TRANSACTIONS);
  request.array(ids, (id) => request.string(id)).end();
  const answer = await ask(socket, request);
  answer.i32();
  // An id that has expired between the two requests has an error here.
  return answer.array(() => readTransaction(answer)).filter((transaction) => transaction !== undefined);
}

function readProducer(answer: Answer): ProducerState {
  const producer = {
    producerId: String(answer.i64()),
    producerEpoch: answer.i32(),
    lastSequence: answer.i32(),
    lastTimestamp: String(answer.i64()),
    coordinatorEpoch: answer.i32(),
    currentTransactionStartOffset: orNull(answer.i64()),
  };
  answer.end();
  return producer;
}

function readTransaction(answer: Answer): TransactionState | undefined {
  const code = answer.i16();
  const transaction = {
    transactionalId: answer.string(),
    state: answer.string(),
    timeoutMs: answer.i32(),
    startTimestamp: orNull(answer.i64()),
    producerId: String(answer.i64()),
    producerEpoch: answer.i16(),
    topics: answer.array(() => {
      const topic = { topic: answer.string(), partitions: answer.array(() => answer.i32()) };
      answer.end();
      return topic;
    }),
  };
  answer.end();
  return code === 0 ? transaction : undefined;
}

/** Kafka's -1 for none. */
function orNull(value: bigint): string | null {
  return value < 0n ? null : String(value);
}

/** Reads an error code and its message. */
function check(answer: Answer, what: string): void {
  const code = answer.i16();
  const message = answer.nullableString();
  if (code !== 0) throw new BrokerError(code, message ?? `${what}: error code ${code}.`);
}

function ask(socket: FrameSocket, request: Request): Promise<Answer> {
  return new Promise((resolve, reject) => {
    socket.on('data', (frame) => resolve(new Answer(frame)));
    socket.on('end', () => reject(new ClosedError('The broker closed the connection.')));
    socket.write(request.frame());
  });
}

function isInt32(value: number): boolean {
  return Number.isInteger(value) && value === (value | 0);
}
