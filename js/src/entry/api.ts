export { KafkaShore } from '../shore.js';
export type {
  CreateOptions,
  KafkaShoreEvents,
  KafkaSocket,
  Listener,
  ListenOptions,
  ProducerState,
  SocketFactory,
  TopicOptions,
  TransactionState,
  WasmSource,
} from '../types.js';
export {
  BrokerError,
  ClosedError,
  CoreFailedError,
  InvalidOptionError,
  InvalidUriError,
  KafkaShoreError,
  ListenError,
  StoreFailedError,
  StoreLockedError,
  StoreVersionError,
  UnsupportedError,
  type StoreHolder,
} from '../errors.js';
