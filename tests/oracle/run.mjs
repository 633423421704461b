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
import { generate, generated } from './generate.mjs'
import { block } from './notation.mjs'
import { play } from './play.mjs'
import { loadApis } from './schema.mjs'
import { warm } from './settle.mjs'
import { parseTranscript } from './transcript.mjs'

const HERE = fileURLToPath(new URL('.', import.meta.url))
const REFERENCE = '4.3.1'
const AT_ONCE = 12

function load(names, apis) {
  const files = readdirSync(`${HERE}transcripts`).filter(file => file.endsWith('.txt')).map(file => basename(file, '.txt')).sort()
  const all = [...files, ...generated]
  const wanted = names.map(name => basename(name, '.txt'))
  const unknown = wanted.find(name => !all.includes(name))
  if (unknown) throw new Error(`there is no transcript ${unknown}; there are ${files.join(', ')}, and ${generated[0]} to ${generated.at(-1)}`)
  return (wanted.length > 0 ? wanted : all).map(name => {
    const text = generated.includes(name) ? generate(name, apis) : readFileSync(`${HERE}transcripts/${name}.txt`, 'utf8')
    return { ...parseTranscript(name, text), text }
  })
}

/** Plays all of them, some at a time; those that are to run alone, alone. */
async function playAll(transcripts, broker, apis) {
  await warm(broker, apis)
  const results = new Map()
  const one = async transcript => {
    try {
      results.set(transcript.name, answers.plain(await play(transcript, broker, apis)))
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

async function withBroker(start, transcripts, apis) {
  const broker = await start()
  try {
    const results = await playAll(transcripts, broker, apis)
    const broken = broker.log().match(/^.*panicked[^]{0,2000}/m)
    if (broken) results.set('the broker itself', new Error(`${broker.name} broke: ${broken[0]}`))
    return results
  } finally {
    await broker.stop()
  }
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

  fail(name, why) {
    this.failures += 1
    console.log(`\n${name}: ${why}`)
  }

  end() {
    console.log()
    for (const [name, count] of [...this.explained].sort()) console.log(`explained: ${String(count).padStart(5)} x ${name}`)
    console.log(`${this.requests} answers compared, ${this.unexplained} unexplained differences${this.failures ? `, ${this.failures} transcripts not played` : ''}`)
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
  const apis = loadApis(REFERENCE)
  const transcripts = load(args.filter(arg => !arg.startsWith('--')), apis)
  if (flags.includes('--text')) {
    for (const { name, text } of transcripts) console.log(`# ${name}\n${text}`)
    return true
  }
  const ours = await withBroker(startShore, transcripts, apis)
  if (flags.includes('--show')) return show(ours)
  const report = new Report()
  if (ours.has('the broker itself')) report.fail('shore', ours.get('the broker itself').message)
  if (flags.includes('--committed')) {
    for (const transcript of transcripts) report.transcript(transcript.name, committed(transcript), ours.get(transcript.name))
    return report.end()
  }
  const missing = kafkaMissing()
  if (missing) throw new Error(`${missing}; \`--committed\` compares with what Apache Kafka said before`)
  const kafka = await withBroker(() => startKafka(REFERENCE), transcripts, apis)
  for (const transcript of transcripts) {
    const said = kafka.get(transcript.name)
    report.transcript(transcript.name, said, ours.get(transcript.name))
    if (said instanceof Error) continue
    if (!flags.includes('--record')) {
      const before = committed(transcript)
      if (before instanceof Error) report.fail(transcript.name, before.message)
      else if (compare(before, said).length > 0) report.fail(transcript.name, `Apache Kafka does not say what is committed:\n${compare(before, said).map(tell).join('\n')}`)
    }
  }
  if (flags.includes('--record')) {
    const said = transcripts.map(transcript => [transcript, kafka.get(transcript.name)])
    answers.write(REFERENCE, said.filter(([, answers]) => !(answers instanceof Error)))
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
