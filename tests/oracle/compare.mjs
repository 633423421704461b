// Compares two lists of answers field by field, and sets aside the differences that FIDELITY.md explains.
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { EXPLAINED } from './explained.mjs'
import { line } from './notation.mjs'

/** @typedef {{label: string, path: string, kafka: unknown, ours: unknown, explained?: string}} Difference */

/** @returns {Difference[]} */
export function compare(kafka, ours) {
  const all = []
  for (let at = 0; at < Math.max(kafka.length, ours.length); at += 1) {
    const [theirs, mine] = [kafka[at], ours[at]]
    if (theirs?.label !== mine?.label) return [...all, { at, label: theirs?.label ?? mine.label, path: '', kafka: theirs?.label, ours: mine?.label }]
    const found = []
    differences(theirs.answer, mine.answer, '', found)
    for (const { path, ...values } of found) all.push(explain({ at, label: theirs.label, path, ...values, answers: [theirs.answer, mine.answer] }))
  }
  return all
}

function differences(kafka, ours, path, found) {
  if (line(kafka) === line(ours)) return
  const plain = value => value === null || typeof value !== 'object' || Buffer.isBuffer(value)
  if (plain(kafka) || plain(ours) || Array.isArray(kafka) !== Array.isArray(ours)) return void found.push({ path, kafka, ours })
  if (Array.isArray(kafka) && kafka.length !== ours.length) return void found.push({ path, kafka, ours })
  for (const key of new Set([...Object.keys(kafka), ...Object.keys(ours)])) {
    differences(kafka[key], ours[key], path === '' ? key : `${path}.${key}`, found)
  }
}

function explain(difference) {
  const by = EXPLAINED.find(({ request, path, when }) =>
    request.test(difference.label) && path.test(difference.path) && (!when || when(difference.kafka, difference.ours)))
  return by ? { ...difference, explained: by.name } : difference
}

/** Every explanation has to stand in FIDELITY.md. */
export function checkExplanations() {
  const text = readFileSync(fileURLToPath(new URL('../../docs/FIDELITY.md', import.meta.url)), 'utf8').replace(/\s+/g, ' ')
  for (const { name, fidelity } of EXPLAINED) {
    if (!text.includes(fidelity)) throw new Error(`explained.mjs, ${name}: docs/FIDELITY.md does not say "${fidelity}"`)
  }
}

export function tell({ at, label, path, kafka, ours }) {
  const short = value => {
    const text = value === undefined ? '(not there, or the default)' : line(value)
    return text.length > 600 ? `${text.slice(0, 600)}…` : text
  }
  return `  ${at + 1}. ${label}  ${path}\n      kafka ${short(kafka)}\n      ours  ${short(ours)}`
}
