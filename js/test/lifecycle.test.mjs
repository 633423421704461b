// A cluster's own life: sockets, reset, close, listen, and what keeps a process alive.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import net from 'node:net';
import { test } from 'node:test';

import { ClosedError, InvalidOptionError, InvalidUriError, KafkaShore, ListenError, UnsupportedError } from '../dist/node.js';
import { apiVersionsRequest, dial, readApiVersions } from './frames.mjs';
import { connected, consume, kafka, producer } from './kafka.mjs';

async function withShore(use, uri = 'memory://', options) {
  const shore = await KafkaShore.create(uri, options);
  try {
    return await use(shore);
  } finally {
    await shore.close();
  }
}

test('a frame may be cut at any byte, and frames may come joined', () =>
  withShore(async (shore) => {
    const frame = apiVersionsRequest(7);
    for (let cut = 0; cut <= frame.length; cut++) {
      const { socket, next } = dial(shore);
      socket.write(frame.subarray(0, cut));
      if (cut % 2) await new Promise(setImmediate);
      socket.write(frame.subarray(cut));
      const { data } = await next();
      assert.ok(Buffer.isBuffer(data));
      const { correlationId, errorCode, versions } = readApiVersions(data);
      assert.deepEqual([correlationId, errorCode, versions.has(18)], [7, 0, true]);
      socket.end();
    }
    const { socket, next } = dial(shore);
    socket.write(Buffer.concat([apiVersionsRequest(1), apiVersionsRequest(2), apiVersionsRequest(3).subarray(0, 5)]));
    socket.write(apiVersionsRequest(3).subarray(5).toString('latin1'), 'binary');
    for (const expected of [1, 2, 3]) assert.equal(readApiVersions((await next()).data).correlationId, expected);
    socket.end();
  }));

test('what is written may be overwritten as soon as write has returned', () =>
  withShore(async (shore) => {
    const { socket, next } = dial(shore);
    const frame = apiVersionsRequest(5);
    socket.write(frame);
    frame.fill(0xff);
    assert.equal(readApiVersions((await next()).data).correlationId, 5);
    socket.end();
  }));

test('a stream that is none of frames is closed with a reason in the log', () =>
  withShore(async (shore) => {
    const lines = [];
    shore.on('log', (line) => lines.push(line));
    const { socket, next } = dial(shore);
    socket.write(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
    assert.deepEqual(await next(), { end: true });
    assert.ok(socket.destroyed);
    assert.match(lines.join('\n'), /HTTP/);
  }));

test('what a listener throws is the listener\'s own, and the cluster goes on', () => {
  const { status, stdout, stderr } = runScript(`
    import { apiVersionsRequest, dial, readApiVersions } from ${JSON.stringify(new URL('./frames.mjs', import.meta.url).href)};
    process.on('uncaughtException', ({ message }) => console.log(message));
    const shore = await KafkaShore.create('memory://');
    const first = dial(shore);
    first.socket.on('data', () => {
      throw new Error('of the listener');
    });
    first.socket.write(apiVersionsRequest(1));
    await first.next();
    const { socket, next } = dial(shore);
    socket.write(apiVersionsRequest(2));
    console.log(readApiVersions((await next()).data).correlationId);
    socket.end();
    first.socket.end();
  `);
  assert.deepEqual([status, stdout, stderr], [0, 'of the listener\n2\n', '']);
});

test('reset gives an empty cluster and ends what was connected', () =>
  withShore(async (shore) => {
    const client = kafka(shore);
    await shore.createTopic('before');
    const { socket, next } = dial(shore);
    await shore.reset();
    assert.deepEqual(await next(), { end: true });
    assert.ok(socket.destroyed);
    await connected(client.admin(), async (admin) => {
      assert.deepEqual(await admin.listTopics(), []);
      await admin.createTopics({ topics: [{ topic: 'before' }] });
    });
    assert.deepEqual(await consume(client, 'group', 'before', 0), []);
  }));

test('a socket that dials during a reset is served by the new cluster', () =>
  withShore(async (shore) => {
    const reset = shore.reset();
    const { socket, next } = dial(shore);
    socket.write(apiVersionsRequest(9));
    const event = await next();
    // Dialled before the old cluster was gone: then it has ended with it, and a client dials again.
    if (event.end) assert.ok(socket.destroyed);
    else assert.equal(readApiVersions(event.data).correlationId, 9);
    await reset;
    const after = dial(shore);
    after.socket.write(apiVersionsRequest(10));
    assert.equal(readApiVersions((await after.next()).data).correlationId, 10);
  }));

test('two clusters of one process know nothing of each other', () =>
  withShore((one) =>
    withShore(async (other) => {
      assert.notEqual(one.clusterId, other.clusterId);
      await Promise.all([one.createTopic('one'), other.createTopic('other')]);
      for (const [shore, topic] of [[one, 'one'], [other, 'other']]) {
        await connected(kafka(shore).admin(), async (admin) => assert.deepEqual(await admin.listTopics(), [topic]));
      }
      await one.close();
      await connected(kafka(other).admin(), async (admin) => assert.deepEqual(await admin.listTopics(), ['other']));
    }),
  ));

test('close ends connections, may be called again, and is what await using calls', async () => {
  const shore = await KafkaShore.create('memory://');
  const { socket, next } = dial(shore);
  await Promise.all([shore.close(), shore.close()]);
  await shore[Symbol.asyncDispose]();
  assert.deepEqual(await next(), { end: true });
  assert.ok(socket.destroyed);
  for (const use of [() => shore.reset(), () => shore.listen(), async () => dial(shore)]) {
    await assert.rejects(use, (error) => error instanceof ClosedError && error.code === 'CLOSED');
  }
});

test('a refused topic says why in Kafka\'s terms', () =>
  withShore(async (shore) => {
    await shore.createTopic('there');
    await assert.rejects(shore.createTopic('there'), { code: 'BROKER_ERROR', errorCode: 36 });
    await assert.rejects(shore.createTopic('a b'), { code: 'BROKER_ERROR', errorCode: 17 });
  }));

test('a wrong argument is told what would be right', async () => {
  const cases = [
    ['memory', InvalidUriError, /memory:\/\//],
    ['redis://x', InvalidUriError, /file:\/\/directory/],
    ['memory://x', InvalidUriError, /no name/],
    ['file://', InvalidUriError, /directory/],
    ['idb://', InvalidUriError, /idb:\/\/orders/],
    [undefined, InvalidUriError, /undefined/],
    ['idb://x', UnsupportedError, /file:\/\//],
  ];
  for (const [uri, type, message] of cases) {
    await assert.rejects(KafkaShore.create(uri), (error) => error instanceof type && message.test(error.message), String(uri));
  }
  await assert.rejects(KafkaShore.create('memory://', { retention: 1 }), InvalidOptionError);
  await assert.rejects(KafkaShore.create('memory://', { durability: 'always' }), InvalidOptionError);
});

test('clients come over TCP and in process at once, and see one cluster', () =>
  withShore(async (shore) => {
    await shore.createTopic('kept', { partitions: 1 });
    const { host, port, close } = await shore.listen();
    assert.deepEqual(shore.brokers, [`${host}:${port}`]);
    const outside = kafka(shore, { socketFactory: undefined });
    await connected(producer(outside), (sender) => sender.send({ topic: 'kept', messages: [{ value: 'over TCP' }] }));
    const [record] = await consume(kafka(shore), 'inside', 'kept', 1);
    assert.equal(record.value.toString(), 'over TCP');
    await assert.rejects(shore.listen(), ListenError);
    await close();
    await assert.rejects(new Promise((resolve, reject) => net.connect(port, host, resolve).on('error', reject)));
  }));

test('a port in use is named in one sentence', () =>
  withShore((one) =>
    withShore(async (other) => {
      const { port } = await one.listen();
      await assert.rejects(other.listen({ port }), (error) => error instanceof ListenError && error.message.includes(`port ${port}`));
      await other.listen();
    }),
  ));

test('connections over the limit and frames over the limit are closed', () =>
  withShore(async (shore) => {
    const { host, port } = await shore.listen({ maxConnections: 1 });
    const dialTcp = () =>
      new Promise((resolve) => {
        const socket = net.connect(port, host, () => resolve(socket));
      });
    const closed = (socket) => new Promise((resolve) => socket.resume().on('close', resolve));
    const first = await dialTcp();
    await closed(await dialTcp());
    first.write(Buffer.from([0x7f, 0xff, 0xff, 0xff, 0]));
    await closed(first);
  }));

test('a process with an open cluster in memory ends by itself', () => {
  const { status, stdout, stderr } = runScript(`
    const shore = await KafkaShore.create('memory://');
    await shore.createTopic('t');
    console.log('done');
  `);
  assert.deepEqual([status, stdout, stderr], [0, 'done\n', '']);
});

function runScript(script) {
  const entry = JSON.stringify(new URL('../dist/node.js', import.meta.url).href);
  const code = `import { KafkaShore } from ${entry};\n${script}`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', code], { encoding: 'utf8', timeout: 30_000 });
}
