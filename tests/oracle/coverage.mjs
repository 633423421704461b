// Every version of every API that our broker advertises has to be answered somewhere in the transcripts.

/**
 * @param {Record<number, [number, number]>} versions  what the broker advertises: the first and the last of each key
 * @param {Record<string, {key: number}>} apis
 * @param {Iterable<{label: string, answer: unknown}[] | Error>} played  what each transcript was answered
 * @returns {string[]} the APIs and versions that no transcript has an answer for
 */
export function uncovered(versions, apis, played) {
  const answered = new Set()
  for (const answers of played) {
    if (answers instanceof Error) continue
    for (const { label, answer } of answers) if (typeof answer === 'object') answered.add(label.split(' ', 2).join(' '))
  }
  const nameOf = key => Object.values(apis).find(api => api.key === key)?.name ?? `API ${key}`
  return Object.entries(versions).flatMap(([key, [min, max]]) =>
    Array.from({ length: max - min + 1 }, (_, index) => `${nameOf(Number(key))} ${min + index}`).filter(one => !answered.has(one)))
}
