import type { Server, Socket } from 'node:net';

import { InvalidOptionError, ListenError, messageOf } from './errors.js';
import type { ClusterHost } from './host.js';
import type { Listener, ListenOptions } from './types.js';

/** Reading from a connection stops while it has this much to read itself. */
const UNREAD_BYTES = 1 << 20;

export async function listen(net: typeof import('node:net'), host: ClusterHost, options: ListenOptions): Promise<Listener> {
  const { port = 0, host: address = '127.0.0.1', maxConnections = 1000, idleMillis = 600_000 } = options;
  if (!Number.isInteger(port) || port < 0 || port > 65_535) {
    throw new InvalidOptionError(`a port is a number from 0 to 65535, not '${String(port)}'`);
  }
  const sockets = new Set<Socket>();
  const server = net.createServer({ noDelay: true, keepAlive: true }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    attach(host, socket, idleMillis);
  });
  server.maxConnections = maxConnections;
  await bind(server, port, address);
  const bound = server.address() as { address: string; port: number };
  let closing: Promise<void> | undefined;
  return {
    host: bound.address,
    port: bound.port,
    close: () =>
      (closing ??= new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      })),
  };
}

function attach(host: ClusterHost, socket: Socket, idleMillis: number): void {
  let muted = false;
  const flow = (): void => void (muted || socket.writableLength > UNREAD_BYTES ? socket.pause() : socket.resume());
  const connection = host.connect(
    {
      data(bytes) {
        if (!socket.write(bytes)) flow();
      },
      ended: () => socket.destroySoon(),
      mute(isMuted) {
        muted = isMuted;
        flow();
      },
    },
    socket.remoteAddress ?? 'unknown',
    // The server holds the process, and its sockets do.
    false,
  );
  socket.on('data', (bytes) => host.write(connection, bytes));
  socket.on('drain', flow);
  socket.on('end', () => host.hangUp(connection));
  socket.on('close', () => host.hangUp(connection));
  // 'close' follows and says all there is to do.
  socket.on('error', () => undefined);
  socket.setTimeout(idleMillis, () => socket.destroy());
}

function bind(server: Server, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(new ListenError(bindFailure(error, port, address), error)));
    server.listen(port, address, () => resolve());
  });
}

function bindFailure(error: NodeJS.ErrnoException, port: number, address: string): string {
  switch (error.code) {
    case 'EADDRINUSE':
      return `port ${port} on ${address} is in use by another program; choose another port, or 0 for a free one`;
    case 'EACCES':
      return `port ${port} on ${address} needs more rights than this process has; choose one above 1023`;
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `${address} is not an address of this machine`;
    default:
      return `cannot listen on ${address}:${port}: ${messageOf(error)}`;
  }
}
