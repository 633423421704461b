import { InvalidOptionError } from './errors.js';

/**
 * A request of one of Kafka's flexible versions, whose lengths are varints one larger than what they
 * count, and where every structure ends with tagged fields: here always none.
 */
export class Request {
  readonly #bytes: number[] = [];

  constructor({ key, version }: { readonly key: number; readonly version: number }) {
    // The correlation id and the client's name; the name is of the old form even here.
    this.i16(key).i16(version).i32(1);
    const name = new TextEncoder().encode('kafka-shore');
    this.i16(name.length);
    this.#bytes.push(...name);
    this.end();
  }

  i8(value: number): this {
    this.#bytes.push(value & 0xff);
    return this;
  }

  i16(value: number): this {
    return this.i8(value >> 8).i8(value);
  }

  i32(value: number): this {
    return this.i16(value >> 16).i16(value);
  }

  string(text: string): this {
    const bytes = new TextEncoder().encode(text);
    if (bytes.length > 0x7fff) throw new InvalidOptionError('a name or value is longer than 32767 bytes');
    this.#varint(bytes.length + 1);
    this.#bytes.push(...bytes);
    return this;
  }

  array<T>(items: readonly T[], write: (item: T) => unknown): this {
    this.#varint(items.length + 1);
    items.forEach(write);
    return this;
  }

  /** The end of a structure. */
  end(): this {
    return this.i8(0);
  }

  /** With the length prefix. */
  frame(): Uint8Array {
    const frame = new Uint8Array(4 + this.#bytes.length);
    new DataView(frame.buffer).setInt32(0, this.#bytes.length);
    frame.set(this.#bytes, 4);
    return frame;
  }

  #varint(value: number): void {
    for (; value > 0x7f; value >>>= 7) this.i8((value & 0x7f) | 0x80);
    this.i8(value);
  }
}

/** The answer to a [`Request`], from its length prefix on. */
export class Answer {
  readonly #view: DataView;
  #at = 8;

  constructor(frame: Uint8Array) {
    this.#view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
    this.end();
  }

  i16(): number {
    return this.#view.getInt16(this.#take(2));
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4));
  }

  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8));
  }

  string(): string {
    return this.nullableString() ?? '';
  }

  nullableString(): string | undefined {
    const length = this.#varint() - 1;
    if (length < 0) return undefined;
    const { buffer, byteOffset } = this.#view;
    return new TextDecoder().decode(new Uint8Array(buffer, byteOffset + this.#take(length), length));
  }

  array<T>(read: () => T): T[] {
    return Array.from({ length: Math.max(0, this.#varint() - 1) }, read);
  }

  /** The end of a structure; tags that this package does not know are passed over. */
  end(): void {
    for (let tags = this.#varint(); tags > 0; tags--) {
      this.#varint();
      this.#take(this.#varint());
    }
  }

  #varint(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#view.getUint8(this.#take(1));
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value >>> 0;
    }
  }

  #take(length: number): number {
    const at = this.#at;
    this.#at += length;
    return at;
  }
}
