// What a page does with the package, whoever bundled it: one cluster in memory and one in IndexedDB
// that is still there when it is opened again.

export async function tour({ KafkaShore, StoreLockedError }) {
  const memory = await KafkaShore.create('memory://');
  expect((await apiVersions(memory)).has(0), 'Produce is advertised');
  await memory.createTopic('orders', { partitions: 3 });
  await memory.reset();
  await memory.createTopic('orders', { partitions: 3 });
  await memory.close();

  const first = await KafkaShore.create('idb://shop');
  await first.createTopic('orders', { partitions: 3 });
  const refused = await KafkaShore.create('idb://shop').catch((error) => error);
  expect(refused instanceof StoreLockedError, 'a second opener is refused');
  expect(refused.message.includes(location.href), `the holder is named: ${refused.message}`);
  await first.close();
  const second = await KafkaShore.create('idb://shop');
  expect(second.clusterId === first.clusterId, 'it is the same cluster');
  const again = await second.createTopic('orders').catch((error) => error);
  expect(again.errorCode === 36, 'the topic is still there');
  await second.reset();
  await second.createTopic('orders');
  await second.close();

  const noPort = await memory.listen().catch((error) => error);
  expect(noPort.code === 'CLOSED', 'a closed cluster says so');
  const noFile = await KafkaShore.create('file://./data').catch((error) => error);
  expect(noFile.code === 'UNSUPPORTED', 'a browser has no files');
}

/** The API keys that the broker advertises, by a frame made here. */
function apiVersions(shore) {
  const request = new Uint8Array([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 255, 255]);
  return new Promise((resolve, reject) => {
    const socket = shore.socketFactory()({ host: 'any', port: 1, onConnect: () => socket.write(request) });
    socket.on('end', () => reject(new Error('the connection ended')));
    socket.on('data', (frame) => {
      const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
      const keys = new Set();
      for (let i = 0; i < view.getInt32(10); i++) keys.add(view.getInt16(14 + 6 * i));
      resolve(keys);
    });
  });
}

function expect(condition, what) {
  if (!condition) throw new Error(`not so: ${what}`);
}

export async function run(api) {
  try {
    await tour(api);
    document.title = 'ok';
  } catch (error) {
    document.title = String(error?.stack ?? error);
  }
}
