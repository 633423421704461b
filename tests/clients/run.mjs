#!/usr/bin/env node
// Real Kafka clients against `shore serve`: node tests/clients/run.mjs [--strict] [--bootstrap HOST:PORT] [CLIENT]...
//
// Each client is a folder with its own lock file. What it installs goes below target/clients. With --bootstrap
// the clients talk to that broker instead, Apache Kafka for one: it is the referee of the clients' own assertions.
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const TARGET = process.env.CARGO_TARGET_DIR ?? join(HERE, '../../target')
const SHORE = process.env.SHORE ?? join(TARGET, 'release/shore')
/** A client that takes longer hangs. */
const LIMIT_MS = 180_000

const JAVA = ['Life', 'LogFiles', 'Transactions', 'Tools', 'Groups', 'Directory', 'Application', 'Streams', 'Connect'].map(name => `${name}.java`)

const CLIENTS = {
  kafkajs: {
    needs: ['node', 'npm'],
    locks: ['package.json', 'package-lock.json', '.npmrc'],
    install: home => sh(home, 'npm', ['ci', '--no-audit', '--no-fund', '--silent']),
    command: home => ['node', [join(HERE, 'kafkajs/life.mjs')]],
  },
  'kafkajs-transactions': {
    folder: 'kafkajs',
    needs: ['node', 'npm'],
    command: home => ['node', [join(HERE, 'kafkajs/transactions.mjs')]],
  },
  'confluent-kafka': {
    needs: ['python3'],
    locks: ['requirements.txt'],
    install: installPython,
    command: home => [join(home, 'venv/bin/python'), [join(HERE, 'confluent-kafka/life.py')]],
  },
  'confluent-kafka-transactions': {
    folder: 'confluent-kafka',
    needs: ['python3'],
    command: home => [join(home, 'venv/bin/python'), [join(HERE, 'confluent-kafka/transactions.py')]],
  },
  'confluent-kafka-old': {
    folder: 'confluent-kafka',
    needs: ['python3'],
    command: home => [join(home, 'venv/bin/python'), [join(HERE, 'confluent-kafka/old.py')]],
  },
  'kafka-node': {
    needs: ['node', 'npm'],
    locks: ['package.json', 'package-lock.json', '.npmrc'],
    install: home => sh(home, 'npm', ['ci', '--no-audit', '--no-fund', '--silent']),
    command: home => ['node', [join(HERE, 'kafka-node/life.mjs')]],
  },
  'kafka-python': {
    needs: ['python3'],
    locks: ['requirements.txt'],
    install: installPython,
    command: home => [join(home, 'venv/bin/python'), [join(HERE, 'kafka-python/life.py')]],
  },
  java: {
    needs: ['java', 'javac', 'mvn'],
    locks: ['pom.xml', ...JAVA],
    install: home => {
      sh(home, 'mvn', ['-q', '-B', '-f', 'pom.xml', 'dependency:copy-dependencies', '-DoutputDirectory=lib'])
      // What a process of its own logs is kept and shown when it fails; the client itself logs nothing.
      sh(home, 'mvn', ['-q', '-B', 'dependency:copy', '-Dartifact=org.slf4j:slf4j-simple:1.7.36', '-DoutputDirectory=log'])
      sh(home, 'javac', ['-cp', 'lib/*', '-d', 'classes', ...JAVA])
    },
    command: home => ['java', ['-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`, 'Life']],
  },
  'java-transactions': {
    folder: 'java',
    needs: ['java', 'javac', 'mvn'],
    command: home => ['java', ['-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`, 'Transactions']],
  },
  'java-tools': {
    folder: 'java',
    needs: ['java', 'javac', 'mvn'],
    command: home => ['java', ['-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`, 'Tools']],
  },
  'java-log': {
    folder: 'java',
    needs: ['java', 'javac', 'mvn', 'cargo'],
    command: home => {
      sh(HERE, 'cargo', ['build', '--release', '--quiet', '-p', 'shore', '--example', 'compaction'])
      const example = join(TARGET, 'release/examples/compaction')
      return ['java', ['-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`, 'LogFiles', example]]
    },
  },
  'java-directory': {
    folder: 'java',
    needs: ['java', 'javac', 'mvn'],
    command: home => ['java', ['-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`, 'Directory', SHORE]],
  },
  'java-groups': {
    folder: 'java',
    needs: ['java', 'javac', 'mvn'],
    command: home => ['java', ['-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`, 'Groups']],
  },
  'java-streams': {
    folder: 'java',
    needs: ['java', 'javac', 'mvn'],
    command: home => ['java', ['-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`, 'Streams']],
  },
  'java-connect': {
    folder: 'java',
    needs: ['java', 'javac', 'mvn'],
    command: home => ['java', ['-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`, 'Connect']],
  },
  'franz-go': {
    needs: ['go'],
    locks: ['go.mod', 'go.sum', 'life.go', 'transactions/main.go'],
    install: home => {
      sh(home, 'go', ['build', '-o', 'life', '.'])
      sh(home, 'go', ['build', '-o', 'transact', './transactions'])
    },
    command: home => [join(home, 'life'), []],
  },
  'franz-go-transactions': {
    folder: 'franz-go',
    needs: ['go'],
    command: home => [join(home, 'transact'), []],
  },
}
// Clients of one folder are installed together.
for (const client of Object.values(CLIENTS).filter(client => client.folder)) {
  const { locks, install } = CLIENTS[client.folder]
  Object.assign(client, { locks, install })
}

function installPython(home) {
  sh(home, 'python3', ['-m', 'venv', 'venv'])
  sh(home, 'venv/bin/python', ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '-r', 'requirements.txt'])
}

function sh(cwd, command, args) {
  const { status, stdout, stderr, error } = spawnSync(command, args, { cwd, encoding: 'utf8' })
  if (status !== 0) throw new Error(`${command} ${args.join(' ')} failed: ${error?.message ?? stdout + stderr}`)
}

/** Installs a client anew when one of its locked files has changed. */
function prepare(name, client) {
  const folder = client.folder ?? name
  const home = join(TARGET, 'clients', folder)
  const hash = createHash('sha256')
  for (const file of client.locks) hash.update(readFileSync(join(HERE, folder, file)))
  const stamp = hash.digest('hex')
  const stampFile = join(home, 'installed')
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return home
  console.log(`installing ${folder} (once; up to a minute)`)
  rmSync(home, { recursive: true, force: true })
  mkdirSync(home, { recursive: true })
  for (const file of client.locks) cpSync(join(HERE, folder, file), join(home, file), { recursive: true })
  client.install(home)
  writeFileSync(stampFile, stamp)
  return home
}

/** Starts a broker of its own for one client and hands over its address. */
async function serve() {
  const data = mkdtempSync(join(tmpdir(), 'shore-clients-'))
  const broker = spawn(SHORE, ['serve', '--port', '0', '--data', data], { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  broker.stderr.on('data', chunk => (log += chunk))
  const bootstrap = await new Promise((resolve, reject) => {
    let out = ''
    broker.stdout.on('data', chunk => {
      out += chunk
      const ready = out.match(/^shore ready: (\S+)/m)
      if (ready) resolve(ready[1])
    })
    broker.on('error', error => reject(new Error(`${SHORE} does not start (${error.message}); cargo build --release -p shore`)))
    broker.on('exit', code => reject(new Error(`shore ended with ${code} before it was ready: ${log}`)))
  })
  return {
    bootstrap,
    log: () => log,
    async stop() {
      const code = broker.exitCode ?? await new Promise(resolve => {
        broker.once('exit', (code, signal) => resolve(code ?? signal))
        broker.kill('SIGTERM')
      })
      rmSync(data, { recursive: true, force: true })
      if (code !== 0) throw new Error(`shore ended with ${code}: ${log}`)
    },
  }
}

function live(home, client, bootstrap) {
  const [command, args] = client.command(home)
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      env: { ...process.env, BOOTSTRAP: bootstrap, CLIENT_HOME: home, KEYS: join(HERE, 'keys.json') },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let out = ''
    child.stdout.on('data', chunk => (out += chunk))
    child.stderr.on('data', chunk => (out += chunk))
    const limit = setTimeout(() => child.kill('SIGKILL'), LIMIT_MS)
    child.on('error', reject)
    child.on('exit', (code, signal) => {
      clearTimeout(limit)
      if (code === 0) resolve(out.trim().split('\n').at(-1))
      else reject(new Error(signal === 'SIGKILL' ? `no end after ${LIMIT_MS / 1000} s\n${out}` : out))
    })
  })
}

const args = process.argv.slice(2)
const strict = args.includes('--strict')
const at = args.indexOf('--bootstrap')
const outside = at >= 0 ? args[at + 1] : process.env.KAFKA_BOOTSTRAP
const names = args.filter((arg, index) => !arg.startsWith('--') && !(at >= 0 && index === at + 1))
const unknown = names.find(name => !(name in CLIENTS))
if (unknown) {
  console.error(`there is no client ${unknown}; there are ${Object.keys(CLIENTS).join(', ')}`)
  process.exit(2)
}

let bad = 0
for (const [name, client] of Object.entries(CLIENTS)) {
  if (names.length > 0 && !names.includes(name)) continue
  const missing = client.needs.filter(tool => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
  if (missing.length > 0) {
    console.log(`${name.padEnd(28)} SKIPPED: ${missing.join(' and ')} not found`)
    bad += strict
    continue
  }
  const start = Date.now()
  let broker
  try {
    const home = prepare(name, client)
    broker = outside ? undefined : await serve()
    const said = await live(home, client, outside ?? broker.bootstrap)
    await broker?.stop()
    console.log(`${name.padEnd(28)} passed in ${((Date.now() - start) / 1000).toFixed(1)} s: ${said}`)
  } catch (error) {
    console.log(`${name.padEnd(28)} FAILED\n${error.message}\n${broker?.log() ?? ''}`)
    bad += 1
    await broker?.stop().catch(() => {})
  }
}
process.exit(bad > 0 ? 1 : 0)
