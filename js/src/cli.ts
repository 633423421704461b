#!/usr/bin/env node
import { readFileSync } from 'node:fs';

import { KafkaShore, ListenError, StoreFailedError, StoreLockedError, type CreateOptions } from './entry/node.js';
import { InvalidOptionError, KafkaShoreError, messageOf } from './errors.js';

const HELP = `\
A Kafka broker behind a TCP port, in WebAssembly.

Usage: kafka-shore [OPTION]...

  --port PORT             The port to listen on; 0 picks a free one [default: 9092]
  --listen ADDRESS        The address to listen on [default: 127.0.0.1]
  --advertise HOST:PORT   What clients are told to connect to [default: the address listened on]
  --data DIR              Keep everything in this directory; without it, in memory
  --durability LEVEL      What an acknowledgement waits for: memory (nothing), written (a killed
                          process loses nothing) or synced (a loss of power loses nothing)
                          [default: written with --data, memory without]
  --memory-ceiling BYTES  Without --data: how much log is kept; past it the oldest segments go.
                          With --data: how much of it is cached. Takes K, M and G [default: 1G]
  --topic NAME:PARTITIONS Create this topic if it is not there; may be given more than once
  --config KEY=VALUE      A broker config, as in server.properties; may be given more than once
  --help                  Print this
  --version               Print the version

When it is ready it prints one line: \`shore ready: HOST:PORT cluster=ID data=memory\` (or the directory).
Ctrl-C and SIGTERM close it cleanly; a second one ends it at once.

Exit codes: 0 closed cleanly, 1 a fault of its own, 2 a bad command line, 3 cannot listen,
4 the directory cannot be used, 5 another process uses the directory, 130 ended by a second Ctrl-C.
`;

const TOPIC_ALREADY_EXISTS = 36;

interface Serve {
  port: number;
  listen: string;
  advertise: { readonly host: string; readonly port: number } | undefined;
  data: string | undefined;
  durability: CreateOptions['durability'];
  memoryBytes: number;
  readonly topics: { readonly name: string; readonly partitions: number }[];
  readonly config: Record<string, string>;
}

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) return void process.stdout.write(HELP);
  if (args.includes('--version')) return void process.stdout.write(`${version()}\n`);
  await serve(parse(args));
}

async function serve(options: Serve): Promise<void> {
  const { data, durability, memoryBytes, config, listen, port, advertise } = options;
  const shore = await KafkaShore.create(data === undefined ? 'memory://' : `file://${data}`, {
    config,
    memoryBytes,
    ...(durability && { durability }),
  });
  shore.on('log', (line) => say(line));
  shore.on('error', (error) => end(error));
  try {
    const listener = await shore.listen({ port, host: listen, advertisedHost: advertise?.host, advertisedPort: advertise?.port });
    for (const { name, partitions } of options.topics) {
      await shore.createTopic(name, { partitions }).catch((error: unknown) => {
        if ((error as { errorCode?: number }).errorCode !== TOPIC_ALREADY_EXISTS) throw error;
      });
    }
    closeOnSignals(shore);
    if (!listener.host.startsWith('127.') && listener.host !== '::1') {
      say(`listening on ${listener.host} without authentication or encryption: whoever reaches it can read and write`);
    }
    process.stdout.write(`shore ready: ${shore.brokers[0]} cluster=${shore.clusterId} data=${data ?? 'memory'}\n`);
  } catch (error) {
    await shore.close();
    throw error;
  }
}

/** The first signal asks for a clean end, the second ends the process. */
function closeOnSignals(shore: KafkaShore): void {
  let asked = false;
  const stop = (): void => {
    if (asked) process.exit(130);
    asked = true;
    shore.close().catch(end);
  };
  process.on('SIGINT', stop);
  process.on('SIGTERM', stop);
}

function parse(args: readonly string[]): Serve {
  const serve: Serve = {
    port: 9092,
    listen: '127.0.0.1',
    advertise: undefined,
    data: undefined,
    durability: undefined,
    memoryBytes: 1 << 30,
    topics: [],
    config: {},
  };
  const rest = [...args];
  for (let arg = rest.shift(); arg !== undefined; arg = rest.shift()) {
    const [, flag, attached] = /^(--[a-z]+)(?:=(.*))?$/s.exec(arg) ?? [undefined, arg, undefined];
    const value = (): string => {
      const found = attached ?? rest.shift();
      if (found === undefined) throw new InvalidOptionError(`${flag} needs a value`);
      return found;
    };
    switch (flag) {
      case '--port':
        serve.port = parsePort(value());
        break;
      case '--listen':
        serve.listen = value().replace(/^\[(.*)\]$/, '$1');
        break;
      case '--advertise':
        serve.advertise = parseHostPort(value());
        break;
      case '--data':
        serve.data = value();
        break;
      case '--durability':
        serve.durability = value() as CreateOptions['durability'];
        break;
      case '--memory-ceiling':
        serve.memoryBytes = parseBytes(value());
        break;
      case '--topic':
        serve.topics.push(parseTopic(value()));
        break;
      case '--config':
        Object.assign(serve.config, parseConfig(value()));
        break;
      default:
        throw new InvalidOptionError(`there is no option \`${arg}\`; \`kafka-shore --help\` lists them`);
    }
  }
  if (serve.data === undefined && serve.durability !== undefined && serve.durability !== 'memory') {
    throw new InvalidOptionError('--durability written and synced need --data');
  }
  return serve;
}

function parsePort(text: string): number {
  const port = /^\d+$/.test(text) ? Number(text) : NaN;
  if (!(port <= 65_535)) throw new InvalidOptionError(`a port is a number from 0 to 65535, not \`${text}\``);
  return port;
}

function parseBytes(text: string): number {
  const [, digits, unit] = /^(\d+)([kmg]?)$/i.exec(text) ?? [];
  const bytes = Number(digits) * 1024 ** ' kmg'.indexOf((unit || ' ').toLowerCase());
  if (!Number.isSafeInteger(bytes) || bytes === 0) {
    throw new InvalidOptionError(`a size is a number with an optional K, M or G, not \`${text}\``);
  }
  return bytes;
}

function parseHostPort(text: string): { host: string; port: number } {
  const [, host, port] = /^(.+):(\d+)$/s.exec(text) ?? [];
  if (!host || !port || Number(port) === 0 || Number(port) > 65_535) {
    throw new InvalidOptionError(`--advertise takes host:port, not \`${text}\``);
  }
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) };
}

function parseTopic(text: string): { name: string; partitions: number } {
  const [, name, partitions] = /^([^:]+):(\d+)$/.exec(text) ?? [];
  if (!name || !(Number(partitions) >= 1)) throw new InvalidOptionError(`--topic takes name:partitions, not \`${text}\``);
  return { name, partitions: Number(partitions) };
}

function parseConfig(text: string): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidOptionError(`--config takes key=value, not \`${text}\``);
  return { [text.slice(0, at)]: text.slice(at + 1) };
}

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** One line, and the exit code of its kind. */
function end(error: unknown): void {
  say(`kafka-shore: ${messageOf(error)}`);
  if (!(error instanceof KafkaShoreError)) process.exitCode = 1;
  else if (error instanceof InvalidOptionError) process.exitCode = 2;
  else if (error instanceof ListenError) process.exitCode = 3;
  else if (error instanceof StoreFailedError) process.exitCode = 4;
  else if (error instanceof StoreLockedError) process.exitCode = 5;
  else process.exitCode = 1;
}

main(process.argv.slice(2)).catch(end);
