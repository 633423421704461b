/** Runtimes before `await using` lack the symbol that it looks for. */
const symbols = Symbol as { asyncDispose?: symbol };
symbols.asyncDispose ??= Symbol('Symbol.asyncDispose');

export {};
