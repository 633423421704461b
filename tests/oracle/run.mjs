#!/usr/bin/env node
// Apache Kafka as the referee: plays transcripts to it and to `shore serve`, and compares what they answer.
//
//   node run.mjs [TRANSCRIPT]...              beside a live Apache Kafka, which must also say what it said before
//   node run.mjs --record [TRANSCRIPT]...     the same, and write down what it says
//   node run.mjs --committed [TRANSCRIPT]...  without Java: against what is written down
//   node run.mjs --show TRANSCRIPT            print our answers
//   node run.mjs --text TRANSCRIPT            print the transcript, which may be a drawn one
//
// A TRANSCRIPT is a file in transcripts/ (its path or its name), or one that is drawn (generate.mjs): g-001 and so on.
import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { fileURLToPath } from 'node:url'
import * as answers from './answers.mjs'
import { kafkaMissing, startKafka, startShore } from './brokers.mjs'
import { checkExplanations, compare, tell } from './compare.mjs'
import { uncovered } from './coverage.mjs'
import { EXPLAINED } from './explained.mjs'
import { generate, generated } from './generate.mjs'
import { block } from './notation.mjs'
import { play } from './play.mjs'
import { loadApis } from './schema.mjs'
import { warm } from './settle.mjs'
import { parseTranscript, REFERENCE } from './transcript.mjs'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const AT_ONCE = 12

function load(names) {
  const files = readdirSync(`${HERE}transcripts`).filter(file => file.endsWith('.txt')).map(file => basename(file, '.txt')).sort()
  const all = [...files, ...generated]
  const wanted = names.map(name => basename(name, '.txt'))
  const unknown = wanted.find(name => !all.includes(name))
  if (unknown) throw new Error(`there is no transcript ${unknown}; there are ${files.join(', ')}, and ${generated[0]} to ${generated.at(-1)}`)
  return (wanted.length > 0 ? wanted : all).map(name => {
    const text = generated.includes(name) ? generate(name) : readFileSync(`${HERE}transcripts/${name}.txt`, 'utf8')
    return parseTranscript(name, text)
  })
}

/** Plays all of them, some at a time; those that are to run alone, alone. */
async function playAll(transcripts, broker) {
  await warm(broker, loadApis(transcripts[0].referee))
  const results = new Map()
  const one = async transcript => {
    try {
      results.set(transcript.name, answers.plain(await play(transcript, broker, loadApis(transcript.referee))))
    } catch (error) {
      results.set(transcript.name, error)
    }
  }
  const queue = transcripts.filter(transcript => !transcript.alone)
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (queue.length > 0) await one(queue.shift())
  }))
  for (const transcript of transcripts.filter(transcript => transcript.alone)) await one(transcript)
  broker.side?.end()
  return results
}

/** @returns {Promise<{results: Map<string, object[] | Error>, versions: Record<number, [number, number]>}>} */
async function withBroker(start, transcripts) {
  const broker = await start()
  try {
    const results = await playAll(transcripts, broker)
    const broken = broker.log().match(/^.*panicked[^]{0,2000}/m)
    if (broken) results.set('the broker itself', new Error(`${broker.name} broke: ${broken[0]}`))
    return { results, versions: broker.versions }
  } finally {
    await broker.stop()
  }
}

/**
 * The transcripts of each referee to a broker of their own, one after the other.
 *
 * @returns {Promise<{results: Map<string, object[] | Error>, versions: Record<number, [number, number]>}>}
 */
async function apart(transcripts, start) {
  const all = { results: new Map(), versions: {} }
  for (const version of new Set(transcripts.map(transcript => transcript.referee))) {
    const its = transcripts.filter(transcript => transcript.referee === version)
    const { results, versions } = await withBroker(() => start(version), its)
    for (const [name, result] of results) all.results.set(name, result)
    all.versions = versions
  }
  return all
}

class Report {
  constructor() {
    this.requests = 0
    this.unexplained = 0
    this.failures = 0
    this.explained = new Map()
  }

  transcript(name, kafka, ours) {
    for (const side of [kafka, ours]) {
      if (side instanceof Error) return this.fail(name, side.message)
    }
    this.requests += ours.length
    const found = compare(kafka, ours)
    const open = found.filter(difference => !difference.explained)
    for (const { explained } of found) if (explained) this.explained.set(explained, (this.explained.get(explained) ?? 0) + 1)
    this.unexplained += open.length
    if (open.length > 0) console.log(`\n${name}: ${ours.length} answers, ${open.length} unexplained differences\n${open.map(tell).join('\n')}`)
  }

  /** A referee says today what it said before. */
  same(name, before, today) {
    if (today instanceof Error) return
    if (before instanceof Error) return this.fail(name, before.message)
    const changed = compare(before, today)
    if (changed.length > 0) this.fail(name, `Apache Kafka does not say what is committed:\n${changed.map(tell).join('\n')}`)
  }

  fail(name, why) {
    this.failures += 1
    console.log(`\n${name}: ${why}`)
  }

  end() {
    console.log()
    for (const [name, count] of [...this.explained].sort()) console.log(`explained: ${String(count).padStart(5)} x ${name}`)
    console.log(`${this.requests} answers compared, ${this.unexplained} unexplained differences${this.failures ? `, ${this.failures} other failures` : ''}`)
    return this.unexplained + this.failures === 0
  }
}

const committed = transcript => {
  try {
    return answers.read(transcript)
  } catch (error) {
    return error
  }
}

async function main(args) {
  const flags = args.filter(arg => arg.startsWith('--'))
  const unknown = flags.find(flag => !['--record', '--committed', '--show', '--text'].includes(flag))
  if (unknown) throw new Error(`there is no option ${unknown}`)
  checkExplanations()
  const names = args.filter(arg => !arg.startsWith('--'))
  const transcripts = load(names)
  if (flags.includes('--text')) {
    for (const { name, text } of transcripts) console.log(`# ${name}\n${text}`)
    return true
  }
  const { results: ours, versions } = await apart(transcripts, () => startShore())
  if (flags.includes('--show')) return show(ours)
  const report = new Report()
  if (ours.has('the broker itself')) report.fail('shore', ours.get('the broker itself').message)
  const live = !flags.includes('--committed')
  if (live && kafkaMissing()) throw new Error(`${kafkaMissing()}; \`--committed\` compares with what Apache Kafka said before`)
  const kafka = live ? (await apart(transcripts, version => startKafka(version))).results : new Map(transcripts.map(transcript => [transcript.name, committed(transcript)]))
  for (const transcript of transcripts) report.transcript(transcript.name, kafka.get(transcript.name), ours.get(transcript.name))
  if (flags.includes('--record')) {
    answers.write(transcripts.map(transcript => [transcript, kafka.get(transcript.name)]).filter(([, said]) => !(said instanceof Error)))
  } else if (live) {
    for (const transcript of transcripts) report.same(transcript.name, committed(transcript), kafka.get(transcript.name))
  }
  if (names.length === 0) {
    const missing = uncovered(versions, loadApis(REFERENCE), ours.values())
    const idle = EXPLAINED.filter(({ name }) => !report.explained.has(name)).map(({ name }) => name)
    if (idle.length > 0) report.fail('explained.mjs', `explains nothing: ${idle.join('; ')}`)
    if (missing.length > 0) report.fail('coverage', `advertised, and answered in no transcript: ${missing.join(', ')}`)
  }
  return report.end()
}

function show(results) {
  for (const [name, result] of results) {
    console.log(`# ${name}`)
    if (result instanceof Error) console.log(result.message)
    else result.forEach(({ label, answer }, index) => console.log(`\n${index + 1} ${label}${typeof answer === 'string' ? `: ${answer}` : `\n${block(answer)}`}`))
  }
  return true
}

try {
  process.exitCode = (await main(process.argv.slice(2))) ? 0 : 1
} catch (error) {
  console.error(`oracle: ${error.message}`)
  process.exitCode = 2
}
