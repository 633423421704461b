// What two brokers, or one at another time, say differently by nature. Everything else is compared.

const NAMED = [
  [/127\.0\.0\.1:\d+|localhost:\d+/g, 'HOST:PORT'],
  [/(kafka|shore)-oracle-\w+\/(logs|n1\/d0)/g, 'LOGS'],
  [/\/[^\s"]*\/LOGS/g, 'LOGS'],
  [/\/[^\s"]*\/input-\d+\.txt/g, 'INPUT'],
  [/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, 'UUID'],
  [/((?:TopicId|Cluster ID|ClusterId|directoryId|topicId|DirectoryId)["]?:?\s*"?)[\w-]{22}\b/g, '$1ID'],
  [/\b20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?/g, 'TIME'],
  [/\b20\d\d-\d\d-\d\d \d\d:\d\d:\d\d([:.,]\d+)?/g, 'TIME'],
  [/\b1[789]\d{11}\b/g, 'TIME'],
  [/console-consumer-\d+/g, 'console-consumer-N'],
  [/(crc: )\d+/g, '$1CRC'],
]

/** One line of output. Columns are as wide as their widest cell, so only that there is a gap is kept. */
export function normal(line) {
  for (const [what, name] of NAMED) line = line.replace(what, name)
  return line.replace(/ {2,}/g, '  ').replace(/-{4,}/g, '----').trimEnd()
}
