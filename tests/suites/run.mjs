#!/usr/bin/env node
// Test suites that others wrote, played to Apache Kafka and to `shore serve`, test by test.
//
//   node run.mjs [SUITE[:TEST]]...           both sides; a whole suite writes its table in docs/SUITES.md
//   node run.mjs --ours [SUITE[:TEST]]...    our side alone, beside Apache Kafka's column of that table
//   node run.mjs --ours --subset             our side of the tests that are quick and tell most
//
// A TEST is a part of its name. --strict fails where a suite cannot run here. README.md says what a suite is.
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { kafkaMissing, startKafka, startShore, TARGET } from '../oracle/brokers.mjs'
import { killGroup } from './process.mjs'
import { readTable, writeTable } from './table.mjs'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const REFERENCE = '4.3.1'
const SHORE = process.env.SHORE ?? join(TARGET, 'release/shore')

/** A side of the comparison: what its brokers are started with. */
const KAFKA = { name: `Apache Kafka ${REFERENCE}`, folder: 'kafka', start: configs => startKafka(REFERENCE, { configs }) }
const OURS = { name: 'ours', folder: 'ours', start: configs => startShore({ configs, shore: SHORE }) }

async function loadSuites() {
  const names = readdirSync(HERE).filter(name => existsSync(join(HERE, name, 'suite.mjs'))).sort()
  return new Map(await Promise.all(names.map(async name =>
    [name, { name, atOnce: 1, limit: 120, settings: { default: {} }, explained: {}, notes: {}, locks: [], ...await import(`./${name}/suite.mjs`) }])))
}

/** Installs a suite anew when one of its locked files has changed. */
async function prepare(suite) {
  const home = join(TARGET, 'suites', suite.name)
  const hash = createHash('sha256')
  for (const file of suite.locks) hash.update(readFileSync(join(HERE, suite.name, file)))
  const stamp = hash.digest('hex')
  const stampFile = join(home, 'installed')
  if (!existsSync(stampFile) || readFileSync(stampFile, 'utf8') !== stamp) {
    console.log(`${suite.name}: installing (once)`)
    mkdirSync(home, { recursive: true })
    await suite.install(home)
    writeFileSync(stampFile, stamp)
  }
  return home
}

/** The tests that run now, which end with this process. */
const running = new Set()
process.on('exit', () => running.forEach(killGroup))
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1))

/** Runs one test in a process group of its own, which ends when its time is over. */
function runTest(suite, test, broker, home, logFile) {
  const { command, args, env = {}, cwd = home } = suite.command(test, broker.address, home, broker)
  return new Promise(resolve => {
    const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    running.add(child)
    let out = ''
    const hear = chunk => (out = (out + chunk).slice(-8_000_000))
    child.stdout.on('data', hear)
    child.stderr.on('data', hear)
    const seconds = test.limit ?? suite.limit
    let late = false
    const limit = setTimeout(() => {
      late = true
      killGroup(child)
    }, seconds * 1000)
    child.on('error', error => (out += error.message))
    child.on('close', (code, signal) => {
      clearTimeout(limit)
      killGroup(child)
      running.delete(child)
      writeFileSync(logFile, out)
      if (late) resolve({ verdict: 'fails', why: `no end after ${seconds} s` })
      else resolve(suite.verdict?.(test, { code, signal, out, home, broker }) ?? byCode(code, signal))
    })
  })
}

const byCode = (code, signal) => (code === 0 ? { verdict: 'passes' } : { verdict: 'fails', why: `ended with ${signal ?? code}` })

/** Plays tests to one side. One that fails among others is run again alone, and that counts. */
async function play(suite, tests, side, home) {
  const logs = join(home, 'logs', side.folder)
  mkdirSync(logs, { recursive: true })
  const results = new Map()
  for (const [setting, configs] of Object.entries(suite.settings)) {
    const chosen = tests.filter(test => (test.setting ?? 'default') === setting)
    if (chosen.length === 0) continue
    const broker = await side.start(configs)
    const one = async (test, again) => {
      const start = Date.now()
      const log = join(logs, `${test.name.replace(/[^\w.-]+/g, '_')}.log`)
      const result = await runTest(suite, test, broker, home, log)
      results.set(test.name, result)
      const seconds = ((Date.now() - start) / 1000).toFixed(1)
      const lines = [suite.name, side.name, test.name, again && 'alone', result.verdict, `in ${seconds} s`, result.why && `(${result.why})`]
      console.log(lines.filter(Boolean).join(' ') + (result.verdict === 'fails' ? `\n    ${log}` : ''))
    }
    const queue = chosen.filter(test => !test.alone)
    await Promise.all(Array.from({ length: suite.atOnce }, async () => {
      while (queue.length > 0) await one(queue.shift())
    }))
    for (const test of chosen.filter(test => test.alone)) await one(test)
    for (const test of chosen) if (results.get(test.name).verdict === 'fails' && suite.atOnce > 1 && !test.alone) await one(test, true)
    await broker.stop()
  }
  return results
}

/** One suite, on the sides that were asked for. Returns what is wrong with our side. */
async function runSuite(suite, wanted, { ours, subset }) {
  const home = await prepare(suite)
  const all = await suite.tests(home)
  const tests = all.filter(test => (!subset || test.subset) && (wanted.length === 0 || wanted.some(part => test.name.includes(part))))
  if (tests.length === 0 && wanted.length > 0) throw new Error(`no test is called so; there are ${all.map(test => test.name).join(', ')}`)
  if (tests.length === 0) return []
  const kafka = ours ? readTable(suite.name) : await play(suite, tests, KAFKA, home)
  const here = await play(suite, tests, OURS, home)
  const rows = tests.map(test => {
    const [theirs, mine] = [kafka.get(test.name) ?? { verdict: 'unknown' }, here.get(test.name)]
    return { name: test.name, theirs, mine, differs: theirs.verdict === 'passes' && mine.verdict !== 'passes', explained: suite.explained[test.name], note: suite.notes[test.name], subset: test.subset }
  })
  if (tests.length === all.length) writeTable(suite, rows)
  const count = verdict => rows.filter(row => row.mine.verdict === verdict).length
  console.log(`${suite.name}: ours passes ${count('passes')} of ${rows.length}, fails ${count('fails')}, skips ${count('skipped')}; ` +
    `Apache Kafka passes ${rows.filter(row => row.theirs.verdict === 'passes').length}${ours ? ' (as committed)' : ''}`)
  return [
    ...rows.filter(row => row.differs && !row.explained).map(row => `${row.name}: Apache Kafka passes, ours ${row.mine.verdict}: ${row.mine.why ?? ''}`),
    ...rows.filter(row => row.theirs.verdict === 'unknown').map(row => `${row.name}: docs/SUITES.md says nothing of it; run both sides`),
    ...rows.filter(row => !row.differs && row.explained && row.theirs.verdict === 'passes').map(row => `${row.name}: passes now and is still explained`),
  ]
}

function help(suites) {
  console.log('cargo xtask suites [--ours] [--subset] [--strict] [SUITE[:TEST]]...\n')
  for (const suite of suites.values()) console.log(`  ${suite.name.padEnd(16)} ${suite.about}`)
  console.log('\n  --ours           our side alone, against the committed docs/SUITES.md')
  console.log('  --subset         only the tests that the test command runs')
  console.log('  --strict         a suite that cannot run here fails')
}

const suites = await loadSuites()
const args = process.argv.slice(2)
const options = { ours: args.includes('--ours'), subset: args.includes('--subset') }
const names = args.filter(arg => !arg.startsWith('--'))
const unknown = names.find(name => !suites.has(name.split(':')[0])) ?? args.find(arg => arg.startsWith('--') && !['--ours', '--subset', '--strict'].includes(arg))
if (unknown) {
  if (unknown !== 'help' && unknown !== '--help') console.error(`there is no suite or option ${unknown}\n`)
  help(suites)
  process.exit(unknown.endsWith('help') ? 0 : 2)
}

let bad = 0
for (const suite of suites.values()) {
  const wanted = names.filter(name => name.split(':')[0] === suite.name).map(name => name.split(':')[1] ?? '')
  if (names.length > 0 && wanted.length === 0) continue
  const tools = suite.needs.filter(tool => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
  const missing = tools.length > 0 ? `${tools.join(' and ')} not found` : options.ours ? undefined : kafkaMissing()
  if (missing) {
    console.log(`${suite.name} SKIPPED: ${missing}`)
    bad += args.includes('--strict')
    continue
  }
  try {
    const wrong = await runSuite(suite, wanted, options)
    wrong.forEach(line => console.log(`${suite.name} FAILED: ${line}`))
    bad += wrong.length
  } catch (error) {
    console.log(`${suite.name} FAILED: ${error.stack}`)
    bad += 1
  }
}
process.exit(bad > 0 ? 1 : 0)
