// The demo: three million flights through one shared heap.
//   npm run demo [-- --rows 300000]
// One process reads the Parquet file, three add up delays by origin airport into one shared Map of live records, in
// transactions, a fifth draws the progress bar. Then the same by process.send, and the check against a plain pass.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'
import { Heap, snapshot } from 'coheap'
import { LATE, TOTAL_ROWS, singlePass } from './data.mjs'
import { byProcessSend } from './ipc.mjs'

const BATCH = 10_000
const CONSUMERS = 3
const options = parseArgs({ options: { rows: { type: 'string', default: String(TOTAL_ROWS) } } }).values
const rows = Number(options.rows)
if (!Number.isInteger(rows) || rows < 1 || rows > TOTAL_ROWS) {
  console.error(`--rows takes a whole number from 1 to ${TOTAL_ROWS}`)
  process.exit(2)
}

// small enough for the 64 MiB of /dev/shm that a container has by default
const heap = Heap.create(undefined, { maxSize: '48MiB' })
console.log(`heap ${heap.name}: ${rows.toLocaleString('en')} flights, 1 producer, ${CONSUMERS} consumers, 1 watcher`)
const children = []
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, async () => {
    heap.root.progress.stopped = true
    for (const child of children) child.kill('SIGTERM')
    await Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')))
    heap.close()
    process.exit(130)
  })
}
const start = (file, ...args) => {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), [heap.name, ...args.map(String)])
  children.push(child)
  return once(child, 'exit').then(([code]) => {
    if (code === 0) return
    for (const other of children) other.kill()
    throw new Error(`${file} ended with ${code ?? child.signalCode}`)
  })
}

heap.root.totals = new Map()
heap.root.airports = []
heap.root.progress = { rows: 0, stopped: false }
const empty = heap.channel('empty')
for (let i = 0; i < 2 * CONSUMERS; i++) {
  await empty.put({ rows: 0, origin: new Uint16Array(BATCH), delay: new Int16Array(BATCH) })
}
heap.channel('full', { capacity: 16 })

const began = performance.now()
await Promise.all([
  start('watcher.mjs', rows),
  start('producer.mjs', rows, BATCH),
  ...Array.from({ length: CONSUMERS }, () => start('consumer.mjs')),
])
const seconds = (performance.now() - began) / 1000
const totals = snapshot(heap.root.totals)
const { committed, used } = heap.stats()
heap.close()

const ipcBegan = performance.now()
const ipc = await byProcessSend(rows, BATCH, CONSUMERS)
const ipcSeconds = (performance.now() - ipcBegan) / 1000

// every number, against one process that makes one pass over the same rows
const expected = await singlePass(rows)
const same = (got) =>
  got.size === expected.size &&
  [...expected].every(([origin, e]) => {
    const t = got.get(origin)
    return t !== undefined && t.flights === e.flights && t.delay === e.delay && t.late === e.late
  })
const shares = [...totals.values()].every((t) => t.share === t.late / t.flights)
const right = same(totals) && shares && same(ipc)

const atLeast = Math.round(10_000 * (rows / TOTAL_ROWS))
const mean = ([, t]) => t.delay / t.flights
const ranked = [...totals].filter(([, t]) => t.flights >= atLeast).sort((a, b) => mean(b) - mean(a))
const style = process.stdout.isTTY ? {} : { head: [], border: [] }
const table = new Table({ style, head: ['', 'airport', 'flights', 'mean delay, min', `late > ${LATE} min`], colAligns: ['left', 'left', 'right', 'right', 'right'] })
const line = (label) => ([code, t]) => [label, code, t.flights.toLocaleString('en'), (t.delay / t.flights).toFixed(2), `${(100 * t.share).toFixed(1)} %`]
table.push(...ranked.slice(0, 10).map(line('worst')), ...ranked.slice(-10).map(line('best')))
console.log(table.toString())
console.log(`airports with ${atLeast.toLocaleString('en')} flights or more: ${ranked.length} of ${totals.size}`)

const rate = (s) => `${Math.round(rows / s).toLocaleString('en')} rows/s`
console.log(`coheap:       ${rate(seconds)} (${seconds.toFixed(1)} s, with starting ${CONSUMERS + 2} processes and reading the file)`)
console.log(`process.send: ${rate(ipcSeconds)} (${ipcSeconds.toFixed(1)} s, likewise); coheap is ${(ipcSeconds / seconds).toFixed(2)} times as fast`)
console.log(`shared memory: ${(committed / 2 ** 20).toFixed(1)} MiB committed, ${(used / 2 ** 20).toFixed(1)} MiB in use at the end`)
console.log(right ? `every number equals the single-process pass over ${rows.toLocaleString('en')} rows` : 'NUMBERS DIFFER from the single-process pass')
process.exitCode = right ? 0 : 1
