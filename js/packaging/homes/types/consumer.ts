import { Kafka } from 'kafkajs';
import { KafkaShore, StoreLockedError, type CreateOptions, type Listener } from 'kafka-shore';
import { KafkaShore as Slim } from 'kafka-shore/slim';

const options: CreateOptions = { config: { 'num.partitions': 3, 'auto.create.topics.enable': false }, durability: 'synced' };

export async function use(): Promise<number> {
  const shore = await KafkaShore.create('file://./data', options);
  const kafka = new Kafka({ brokers: shore.brokers, socketFactory: shore.socketFactory() });
  await kafka.admin().connect();
  const listener: Listener = await shore.listen({ port: 0 });
  shore.on('log', (line) => console.log(line.toUpperCase())).on('error', ({ code }) => console.log(code));
  await shore.createTopic('orders', { partitions: 3, configs: { 'retention.ms': '1000' } });
  await shore.reset();
  await shore.close();
  return listener.port;
}

export function holderOf(error: unknown): string | undefined {
  return error instanceof StoreLockedError ? error.holder.description : undefined;
}

export const slim: Promise<Slim> = Slim.create('memory://', { wasm: new Uint8Array() });

// @ts-expect-error: there is no such level
export const wrong: CreateOptions = { durability: 'always' };
