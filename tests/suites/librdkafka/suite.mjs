// librdkafka's own tests, which its crate brings along. Those that run against its mock broker or none are left out.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sh } from '../process.mjs'

/** The benchmarks pin librdkafka, with its checksum. */
const PIN = fileURLToPath(new URL('../../../bench/Cargo.toml', import.meta.url))

export const about = "librdkafka's own tests (2.12.1), those that talk to a broker"
export const needs = ['cargo', 'cmake', 'make', 'cc', 'c++']
export const locks = ['suite.mjs', '../../../bench/Cargo.lock']
export const atOnce = 4
export const limit = 240

const CLUSTER = { 'num.partitions': 4 }
export const settings = { default: CLUSTER, noautocreate: { ...CLUSTER, 'auto.create.topics.enable': false } }

export function install(home) {
  const metadata = JSON.parse(sh(home, 'cargo', ['metadata', '--locked', '--format-version', '1', '--manifest-path', PIN]))
  const crate = metadata.packages.find(({ name }) => name === 'rdkafka-sys')
  const source = join(home, 'source')
  rmSync(source, { recursive: true, force: true })
  cpSync(join(dirname(crate.manifest_path), 'librdkafka'), source, { recursive: true })
  // What its CMake defines as 0 is asked for by `#ifdef` in this one place.
  const conf = join(source, 'src/rdkafka_conf.c')
  writeFileSync(conf, readFileSync(conf, 'utf8').replace('#ifdef WITH_OAUTHBEARER_OIDC', '#if WITH_OAUTHBEARER_OIDC'))
  const off = ['RDKAFKA_BUILD_EXAMPLES', 'WITH_SSL', 'WITH_SASL', 'WITH_CURL', 'WITH_ZSTD', 'ENABLE_LZ4_EXT']
  const flags = ['CMAKE_BUILD_TYPE=None', 'CMAKE_C_FLAGS=-O1', 'CMAKE_CXX_FLAGS=-O1', 'RDKAFKA_BUILD_STATIC=ON', ...off.map(name => `${name}=OFF`)]
  sh(home, 'cmake', ['-S', 'source', '-B', 'build', ...flags.map(flag => `-D${flag}`)])
  sh(home, 'cmake', ['--build', 'build', '--target', 'test-runner', '--parallel', '2'])
}

/**
 * Its runner picks tests by their number and their scenario, so that those of one number are one test here. What is
 * left out: local tests (flagged so), those that are run by hand, and those that are known to fail.
 */
export function tests(home) {
  const declared = readFileSync(join(home, 'source/tests/test.c'), 'utf8').matchAll(/^ +_TEST\((\w+),\s*([^,)]+)([^;]*?)\)(?=,\s*(?:_TEST|#|\/\*|\{NULL))/gm)
  const found = new Map()
  for (const [, name, flags, rest] of declared) {
    if (/LOCAL|MANUAL|KNOWN_ISSUE\b/.test(flags) || name.endsWith('_mock')) continue
    const setting = /\.scenario = "noautocreate"/.test(rest) ? 'noautocreate' : 'default'
    const key = `${name.split('_')[0]} ${setting}`
    if (!found.has(key)) found.set(key, { name: setting === 'default' ? name : `${name} (noautocreate)`, number: name.split('_')[0], setting })
  }
  return [...found.values()].map(test => ({ ...test, alone: ALONE.includes(test.number), subset: SUBSET.includes(test.number) }))
}

export function command(test, bootstrap, home) {
  const run = join(home, 'run', `${bootstrap.split(':').at(-1)}-${test.number}`)
  mkdirSync(run, { recursive: true })
  writeFileSync(join(run, 'test.conf'), `bootstrap.servers=${bootstrap}\ntest.topic.random=true\n`)
  const env = { TESTS: test.number, TEST_SCENARIO: test.setting, TEST_KAFKA_VERSION: '4.3.1', TEST_REPORT: 'report.json', CI: '' }
  return { command: join(home, 'build/tests/test-runner'), args: ['-L', '-p1', '-K'], env, cwd: run }
}

/** A test that ended well may have skipped itself, and says why. */
export function verdict(test, { code, signal, out }) {
  const skipped = out.match(/SKIPPING TEST: (.*)/)
  if (code === 0) return skipped && !/Test \w+ PASSED/.test(out) ? { verdict: 'skipped', why: skipped[1] } : { verdict: 'passes' }
  const failed = out.match(/### Test "[^"]+".* failed at .*\n?(.*)/i)
  return { verdict: 'fails', why: failed?.[0]?.slice(0, 200) ?? `ended with ${signal ?? code}` }
}

/** These measure time, or use up the machine. */
const ALONE = []

const SUBSET = []

/** Why a test fails or is skipped on both sides. */
export const notes = {}

/** Why ours fails where Apache Kafka passes. */
export const explained = {}
