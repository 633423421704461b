// Frames by hand, for tests that need to see them.

export const API_VERSIONS = 18;

/** An ApiVersions request of version 0, length prefix included. */
export function apiVersionsRequest(correlationId) {
  const frame = Buffer.alloc(4 + 2 + 2 + 4 + 2 + 4);
  frame.writeInt32BE(frame.length - 4, 0);
  frame.writeInt16BE(API_VERSIONS, 4);
  frame.writeInt16BE(0, 6);
  frame.writeInt32BE(correlationId, 8);
  frame.writeInt16BE(4, 12);
  frame.write('test', 14);
  return frame;
}

/** The keys and versions that an answer to it lists. */
export function readApiVersions(frame) {
  const buffer = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const versions = new Map();
  for (let i = 0, at = 14; i < buffer.readInt32BE(10); i++, at += 6) {
    versions.set(buffer.readInt16BE(at), [buffer.readInt16BE(at + 2), buffer.readInt16BE(at + 4)]);
  }
  return { correlationId: buffer.readInt32BE(4), errorCode: buffer.readInt16BE(8), versions };
}

/** A socket, and a promise for each thing that comes from it. */
export function dial(shore) {
  const arrived = [];
  const waiting = [];
  const give = (event) => {
    const next = waiting.shift();
    if (next) next(event);
    else arrived.push(event);
  };
  let connected;
  const onConnect = new Promise((resolve) => (connected = resolve));
  const socket = shore.socketFactory()({ host: 'anywhere', port: 1, onConnect: connected });
  socket.on('data', (bytes) => give({ data: bytes }));
  socket.on('end', () => give({ end: true }));
  socket.on('error', (error) => give({ error }));
  const next = () => (arrived.length > 0 ? Promise.resolve(arrived.shift()) : new Promise((resolve) => waiting.push(resolve)));
  return { socket, onConnect, next };
}
