// The comparison: every row on every peer that can do it, in processes of their own, in one run. A row is run `--rounds` times,
// the peers taking turns, and the median counts. Prints a table for each group, writes results/results.json and rows.svg there.
//   npm start [-- --rounds 3 --seconds 1 --only map --peers coheap,ems --quick]
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import { drawRows } from './plots.mjs'
import { bestPeer, shown, table } from './report.mjs'
import { run } from './run.mjs'

const GROUPS = ['values', 'lists', 'maps', 'whole', 'transactions', 'messages', 'roundtrips', 'bytes', 'objects', 'attach', 'recovery']
/** In the order of the columns. */
const PEERS = ['coheap', 'shm', 'ems', 'lmdb', 'sqlite', 'redis', 'socket', 'zeromq', 'ipc', 'pipe', 'port', 'sab', 'objectbuffer', 'memcpy', 'plain']

/** Rows of the comparison that have nothing to measure yet. */
const ABSENT = [
  'atomic additions: there is no `atomics` yet',
  'locks: there is no `heap.locks` yet',
  'deliveries: there is no `receive` yet',
  'stops by the collector: there is no collector yet',
]

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    only: { type: 'string', default: '' },
    peers: { type: 'string', default: PEERS.join() },
    quick: { type: 'boolean', default: false },
    profile: { type: 'string' },
    out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) },
  },
})
const rounds = Number(options.rounds ?? (options.quick ? 1 : 3))
const seconds = Number(options.seconds ?? (options.quick ? 0.2 : 1))
/** The longest that one case may take, in seconds: many times what the slowest peer needs. */
const limit = 60 + 4 * seconds
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]

const libs = {}
for (const name of PEERS.filter((name) => options.peers.split(',').includes(name))) {
  try {
    libs[name] = await import(`./peers/${name}.mjs`)
  } catch (error) {
    console.log(`skipped ${name}: ${error.message.split('\n')[0]}`)
  }
}

/** One row on all peers that can do it. */
async function measure(group, row, entries) {
  const rates = {}
  const notes = {}
  const failed = new Set()
  for (let round = 0; round < rounds; round++) {
    for (const [peer, lib] of Object.entries(libs)) {
      const entry = entries[peer]
      if (entry?.cases[row.name] === undefined || failed.has(peer)) continue
      try {
        const result = await run({ group, row, peer, lib, entry, seconds, limit, profile: options.profile })
        ;(rates[peer] ??= []).push(result.rate)
        if (Object.keys(result.notes).length > 0) notes[peer] = result.notes
      } catch (error) {
        console.log(`skipped ${peer} in ${row.name}, round ${round + 1}: ${error.message}`)
        // once more would take as long
        if (error.message.startsWith('not done')) failed.add(peer)
        // some peers fail now and then
        if (peer === 'coheap') process.exitCode = 1
      }
    }
  }
  return { rounds: rates, rates: Object.fromEntries(Object.entries(rates).map(([name, list]) => [name, median(list)])), notes }
}

/** What a figure is worth: beside the best peer, beside the bar. */
function judge(figure, row, figures) {
  const [best, rate] = bestPeer(figure, libs) ?? []
  const { coheap } = figure.rates
  if (rate > 0 && coheap) Object.assign(figure, { best, ratio: coheap / rate })
  if (row.bar === undefined) return
  figure.bar = row.bar.text
  figure.barRate = row.bar.rate
  if (coheap !== undefined) figure.reached = row.bar.holds(figure.rates, (name) => figures.find((one) => one.row === name))
}

for (const reason of ABSENT) console.log(`skipped ${reason}`)
const figures = []
mkdirSync(options.out, { recursive: true })
for (const group of GROUPS) {
  const { title, rows, entries: makers, together } = await import(`./groups/${group}.mjs`)
  const wanted = rows.filter((row) => row.name.includes(options.only) || title.includes(options.only))
  if (wanted.length === 0) continue
  const entries = {}
  for (const name of Object.keys(libs)) if (makers[name] !== undefined) entries[name] = await makers[name]()
  const all = await together?.({ peers: Object.keys(entries), quick: options.quick, out: options.out })
  const those = []
  for (const row of wanted) {
    const figure = { group, row: row.name, unit: row.unit, ...(all?.[rows.indexOf(row)] ?? (await measure(group, row, entries))) }
    those.push(figure)
    figures.push(figure)
    judge(figure, row, figures)
    console.log(`${row.name} (${row.unit}): ${Object.entries(figure.rates).map(([name, rate]) => `${name} ${shown(rate, row.unit)}`).join('  ')}`)
  }
  console.log(table(title, those, libs))
}

const machine = { date: new Date().toISOString(), node: process.version, cpu: cpus()[0]?.model, cores: cpus().length }
const about = Object.fromEntries(Object.entries(libs).map(([name, lib]) => [name, lib.about]))
writeFileSync(`${options.out}/results.json`, `${JSON.stringify({ ...machine, rounds, seconds, peers: about, figures }, null, 2)}\n`)
await drawRows(figures, libs, `${options.out}/rows.svg`)
console.log(`figures: ${options.out}/results.json, plot: ${options.out}/rows.svg`)
