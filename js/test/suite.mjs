// Runs the conformance suite of the storage seam (crates/log/src/suite) on a store of this package.
// Plain JavaScript without imports: it runs in a browser too.

/** Runs every transcript of `text`. `open` opens a store by name; a name that is new is empty. */
export async function runSuite(text, open) {
  const cases = parse(text);
  for (const [index, { name, steps }] of cases.entries()) {
    let store = await open(`case-${index}`);
    for (const { request, expected } of steps) {
      if (request === 'reopen') {
        await store.close();
        store = await open(`case-${index}`);
        continue;
      }
      const found = await ask(store, request);
      if (found !== expected) throw new Error(`${name}: asked ${request}\n expected: ${expected}\n    found: ${found}`);
    }
    await store.close();
  }
  return cases.length;
}

function parse(text) {
  const cases = [];
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  for (let i = 0; i < lines.length; i++) {
    if (lines[i].startsWith('== ')) cases.push({ name: lines[i].slice(3), steps: [] });
    else if (lines[i] === 'reopen') cases.at(-1).steps.push({ request: 'reopen' });
    else cases.at(-1).steps.push({ request: lines[i], expected: lines[++i] });
  }
  return cases;
}

async function ask(store, request) {
  const [, verb, rest] = /^(\S+) ?(.*)$/.exec(request);
  try {
    if (verb === 'store') {
      await store.store(rest.split(', ').filter(Boolean).map(op));
      return 'stored';
    }
    if (verb === 'load') {
      const loaded = await store.load(rest.split(' | ').map(range));
      return `loaded ${loaded.map(textOf).join(' | ')}`;
    }
    const entries = await store.list(rest);
    return ['listed', ...entries.map(({ file, length }) => `${file}:${length}`)].join(' ');
  } catch (error) {
    return error.file === undefined ? 'failed' : `not found ${error.file}`;
  }
}

function op(text) {
  const [verb, ...words] = text.split(' ');
  switch (verb) {
    case 'append':
      return { op: 'append', file: words[0], position: Number(words[1]), bytes: bytesOf(words[2]) };
    case 'truncate':
      return { op: 'truncate', file: words[0], length: Number(words[1]) };
    case 'replace':
      return { op: 'replace', file: words[0], bytes: bytesOf(words[1]) };
    case 'rename':
      return { op: 'rename', from: words[0], to: words[1] };
    case 'rename-directory':
      return { op: 'renameDirectory', from: words[0], to: words[1] };
    case 'delete':
      return { op: 'delete', file: words[0] };
    case 'delete-directory':
      return { op: 'deleteDirectory', directory: words[0] };
    case 'sync':
      return { op: 'sync' };
    default:
      throw new Error(`no such op: ${text}`);
  }
}

function range(text) {
  const [file, position, length] = text.split(' ');
  return { file, position: Number(position), length: Number(length) };
}

function bytesOf(text) {
  if (text === '-') return new Uint8Array();
  const parts = text.split('+').map((part) => {
    const [byte, times] = part.split('*');
    return times === undefined ? part : byte.repeat(Number(times));
  });
  return new TextEncoder().encode(parts.join(''));
}

/** Runs of eight bytes and more are written as runs. */
function textOf(bytes) {
  if (bytes.length === 0) return '-';
  const text = new TextDecoder().decode(bytes);
  const parts = [''];
  for (const [run] of text.matchAll(/(.)\1*/gs)) {
    if (run.length < 8) parts[parts.length - 1] += run;
    else parts.push(`${run[0]}*${run.length}`, '');
  }
  return parts.filter(Boolean).join('+');
}
