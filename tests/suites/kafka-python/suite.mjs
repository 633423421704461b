// kafka-python's own tests, those of test/integration: the others talk to no broker.
import { join } from 'node:path'
import { sh } from '../process.mjs'

export { install } from './install.mjs'

const VERSION = '4.3.1'
const FOLDER = 'test/integration'

export const about = "kafka-python's own integration tests (3.0.12)"
export const needs = ['python3']
export const locks = ['install.mjs', 'requirements.txt', 'source.txt', 'service.py']
export const atOnce = 3
/** Its members have sessions of three seconds. */
export const settings = { default: { 'num.partitions': 4, 'group.min.session.timeout.ms': 1000 } }

const pytest = home => [join(home, 'venv/bin/python'), ['-m', 'pytest', '-p', 'no:cacheprovider', '-o', 'addopts=', '-o', 'log_level=INFO']]

const env = home => ({ KAFKA_VERSION: VERSION, KAFKA_ROOT: home, PYTHONPATH: join(home, 'source') })

/** By file and function, with its parameters: `admin::test_delete_records`. */
export function tests(home) {
  const [python, args] = pytest(home)
  const lines = sh(join(home, 'source'), python, [...args, '--collect-only', '-q', FOLDER], env(home)).split('\n')
  return lines.filter(line => line.includes('::')).map(id => {
    const name = id.replace(`${FOLDER}/test_`, '').replace('_integration.py', '')
    return { name, id, subset: !/^(sasl|ssl)::/.test(name) && !notes[name] }
  })
}

export function command(test, bootstrap, home) {
  const [python, args] = pytest(home)
  return {
    command: python,
    args: [...args, '-rs', '-q', test.id],
    env: { ...env(home), KAFKA_URI: `kafka://${bootstrap}` },
    cwd: join(home, 'source'),
  }
}

export function verdict(_, { code, signal, out }) {
  const skipped = out.match(/^SKIPPED \[\d+\] \S+ (.*)$/m)
  if (code === 0) return skipped ? { verdict: 'skipped', why: skipped[1] } : { verdict: 'passes' }
  return { verdict: 'fails', why: out.match(/^E +(?!\s*\[)(.*)$/m)?.[1].slice(0, 200) ?? `ended with ${signal ?? code}` }
}

/** Why a test fails or is skipped on both sides. */
export const notes = {
  'admin::test_create_describe_delete_acls': 'wants an authorizer',
  'admin::test_create_partitions': 'places partitions on broker 0, and the one broker is 1',
  'ssl::TestSSLConnection::test_ssl_handshake': 'wants TLS',
  'ssl::TestSSLConnection::test_legacy_kafka_client_ssl': 'wants TLS',
}

/** Why ours fails where Apache Kafka passes. */
export const explained = {}
