// Kafka's shell tools: sessions with them say the same on both sides. README.md tells of their notation.
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { sh } from '../process.mjs'
import { compare, file, SESSIONS } from './session.mjs'

const HERE = fileURLToPath(new URL('.', import.meta.url))
/** The Java client's folder names the version, and what the tools need. */
const POM = '../../clients/java/pom.xml'

export const about = "Kafka's shell tools (4.3.1): sessions whose every command says what it says of Apache Kafka"
export const needs = ['java', 'javac', 'mvn']
export const locks = ['Shell.java', POM]
export const limit = 240

const names = readdirSync(SESSIONS).map(name => name.replace('.txt', '')).sort()
/** Each session has a broker of its own: what it lists is what it made. */
export const settings = Object.fromEntries(names.map(name => [name, {}]))

export function install(home) {
  rmSync(join(home, 'lib'), { recursive: true, force: true })
  sh(home, 'mvn', ['-q', '-B', '-f', join(HERE, POM), 'dependency:copy-dependencies', `-DoutputDirectory=${join(home, 'lib')}`])
  sh(home, 'javac', ['-cp', 'lib/*', '-d', 'classes', join(HERE, 'Shell.java')])
}

export function tests() {
  return names.map(name => ({ name, setting: name, subset: true }))
}

export function command(test, bootstrap, home, broker) {
  const logs = join(broker.data, broker.lag === 0 ? 'n1/d0' : 'logs')
  // Apache Kafka's metadata spreads after it has answered.
  const lag = broker.lag * 4
  const java = ['-Xmx256m', '-XX:TieredStopAtLevel=1', '-cp', `${join(home, 'classes')}:${join(home, 'lib')}/*`]
  return { command: 'java', args: [...java, 'Shell', file(test.name), bootstrap, logs, `${lag}`] }
}

export function verdict(test, { code, signal, out, broker }) {
  if (code !== 0) return { verdict: 'fails', why: `ended with ${signal ?? code}` }
  const differs = compare(test.name, out, { ours: broker.lag === 0 })
  for (const { command, expected, said, why } of differs) {
    console.log(`$ ${command}\n${why ? `  says what Apache Kafka says, and is written to differ: ${why}\n` : difference('Apache Kafka', expected, said) + difference('here', said, expected)}`)
  }
  return differs.length === 0 ? { verdict: 'passes' } : { verdict: 'fails', why: `${differs.length} commands say something else` }
}

/** The lines that only one said; all of them if only their order differs. */
function difference(who, said, others) {
  const only = said.filter(line => !others.includes(line))
  return `  ${who}:\n${(only.length > 0 ? only : said).map(line => `    ${line}\n`).join('')}`
}
