// The two brokers of a comparison, each started for it: `shore serve`, and Apache Kafka from Maven Central.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync, openSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const HERE = fileURLToPath(new URL('.', import.meta.url))
export const TARGET = process.env.CARGO_TARGET_DIR ?? join(HERE, '../../target')
const SHORE = process.env.SHORE ?? join(TARGET, 'debug/shore')
const START_MS = 60_000

/** What both are told: records of any age are kept, and transactions that take too long are soon found. */
const TOLD = {
  'log.retention.ms': -1,
  'transaction.abort.timed.out.transaction.cleanup.interval.ms': 500,
}
/** And what `shore serve` sets itself for one node. */
const CONFIGS = {
  ...TOLD,
  'offsets.topic.replication.factor': 1,
  'transaction.state.log.replication.factor': 1,
  'transaction.state.log.min.isr': 1,
  'share.coordinator.state.topic.replication.factor': 1,
  'share.coordinator.state.topic.min.isr': 1,
  'group.initial.rebalance.delay.ms': 0,
  'max.connections': 10000,
  'queued.max.request.bytes': 268435456,
}

for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))

/** @typedef {{name: string, address: string, port: number, controller?: number, data: string, lag: number, stop: () => Promise<void>, log: () => string}} Broker */

/** @returns {Promise<Broker>} */
export async function startShore({ configs = {}, shore = SHORE } = {}) {
  const data = mkdtempSync(join(tmpdir(), 'shore-oracle-'))
  const options = Object.entries({ ...TOLD, ...configs }).flatMap(([key, value]) => ['--config', `${key}=${value}`])
  const child = spawn(shore, ['serve', '--port', '0', '--data', data, ...options], { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  child.stderr.on('data', chunk => (log += chunk))
  const address = await new Promise((resolve, reject) => {
    child.stdout.on('data', chunk => {
      const ready = String(chunk).match(/^shore ready: (\S+)/m)
      if (ready) resolve(ready[1])
    })
    child.on('error', error => reject(new Error(`${shore} does not start (${error.message}); cargo build -p shore`)))
    child.on('exit', code => reject(new Error(`shore ended with ${code} before it was ready: ${log}`)))
  })
  return broker('shore', address, 0, child, data, () => log)
}

/** @returns {Promise<Broker>} */
export async function startKafka(version, { configs = {} } = {}) {
  const lib = kafkaJars(version)
  const [port, controller] = [await freePort(), await freePort()]
  const data = mkdtempSync(join(tmpdir(), 'kafka-oracle-'))
  const properties = {
    'node.id': 1,
    'process.roles': 'broker,controller',
    'controller.quorum.voters': `1@127.0.0.1:${controller}`,
    'controller.listener.names': 'CONTROLLER',
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controller}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'log.dirs': join(data, 'logs'),
    ...CONFIGS,
    ...configs,
  }
  const file = join(data, 'server.properties')
  writeFileSync(file, Object.entries(properties).map(([key, value]) => `${key}=${value}\n`).join(''))
  const out = openSync(join(data, 'out'), 'a')
  const java = ['-Xmx1g', '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-cp', `${lib}/*`]
  execFileSync('java', [...java, 'kafka.tools.StorageTool', 'format', '-t', 'kafkashoreAAAAAAAAAAAw', '-c', file], { stdio: ['ignore', out, out] })
  const child = spawn('java', [...java, 'kafka.Kafka', file], { stdio: ['ignore', out, out] })
  await listening(port)
  return broker(`Apache Kafka ${version}`, `127.0.0.1:${port}`, 50, child, data, () => readFileSync(join(data, 'out'), 'utf8'), controller)
}

/** Whether Apache Kafka can be started here; if not, why. */
export function kafkaMissing() {
  const missing = ['java', 'mvn'].filter(tool => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
  return missing.length > 0 ? `${missing.join(' and ')} not found (Java 17 and Maven)` : undefined
}

/** Apache Kafka's jars, those of its shell tools among them, fetched once. */
export function kafkaJars(version) {
  const lib = join(TARGET, 'oracle', `lib-${version}`)
  if (existsSync(join(lib, `kafka-tools-${version}.jar`))) return lib
  console.log(`fetching Apache Kafka ${version} from Maven Central (once)`)
  execFileSync('mvn', ['-q', '-B', '-f', join(HERE, 'pom.xml'), 'dependency:copy-dependencies', `-Dkafka.version=${version}`, `-DoutputDirectory=${lib}`])
  return lib
}

function broker(name, address, lag, child, data, log, controller) {
  let over = false
  const kill = () => child.kill('SIGKILL')
  process.once('exit', kill)
  const ended = new Promise(resolve => child.once('exit', () => {
    over = true
    process.off('exit', kill)
    resolve()
  }))
  return {
    name, address, lag, log, data, controller,
    port: Number(address.split(':').at(-1)),
    async stop() {
      if (over) throw new Error(`${name} did not live to the end: ${log()}`)
      child.kill('SIGTERM')
      await ended
      rmSync(data, { recursive: true, force: true })
    },
  }
}

function freePort() {
  return new Promise(resolve => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address()
      server.close(() => resolve(port))
    })
  })
}

async function listening(port) {
  const open = () => new Promise(resolve => {
    const socket = connect(port, '127.0.0.1')
    socket.on('connect', () => resolve(true))
    socket.on('error', () => resolve(false))
    socket.on('close', () => resolve(false))
    socket.on('connect', () => socket.destroy())
  })
  for (const start = Date.now(); Date.now() - start < START_MS;) {
    if (await open()) return
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  throw new Error(`nothing listens on ${port} after ${START_MS / 1000} s`)
}
