// Curves: what one operation of Coheap costs with 10³ to 10⁷ live objects, 1 to 64 processes, 1 to 10⁴ objects in a transaction. All of
// them have to stay flat: with more processes than cores, what all of them together do in a second.
//   npm run curves [-- --only objects --what read --seconds 0.5 --largest 1e7]
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import { CURVES, entries, nameOf } from './groups/scaling.mjs'
import * as lib from './peers/coheap.mjs'
import { drawCurves } from './plots.mjs'
import { run } from './run.mjs'

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    what: { type: 'string', default: '' },
    seconds: { type: 'string', default: '0.5' },
    largest: { type: 'string', default: '1e7' },
    out: { type: 'string', default: fileURLToPath(new URL('results', import.meta.url)) },
  },
})
const seconds = Number(options.seconds)
const entry = entries.coheap()
mkdirSync(options.out, { recursive: true })

for (const [curve, { along, together, values, roles, cases: all }] of Object.entries(CURVES)) {
  const cases = all.filter((what) => what.includes(options.what))
  if (!curve.includes(options.only) || cases.length === 0) continue
  const points = []
  const table = new Table({
    style: process.stdout.isTTY ? {} : { head: [], border: [] },
    head: [`ns, ${along}`, ...cases],
    colAligns: ['right', ...cases.map(() => 'right')],
  })
  for (const n of values(Number(options.largest))) {
    const measure = async (what) => {
      const row = { name: nameOf(curve, what, n), curve, what, n, roles: roles(n) }
      // each process is to have as much time on a core, else all they do is to compile
      const longer = seconds * Math.max(1, row.roles.length / cpus().length)
      return run({ group: 'scaling', row, peer: 'coheap', lib, entry, seconds: longer, limit: 300 })
    }
    const notes = together ? (await measure('all')).notes : {}
    const row = [n]
    for (const what of cases) {
      const ns = together ? notes[what] : 1e9 / (await measure(what)).rate
      points.push({ what, n, ns })
      row.push(ns.toFixed(ns < 100 ? 1 : 0))
    }
    table.push(row)
    console.log(row.join('  '))
  }
  console.log(table.toString())
  const machine = { date: new Date().toISOString(), node: process.version, cpu: cpus()[0]?.model, cores: cpus().length }
  writeFileSync(`${options.out}/curve-${curve}.json`, `${JSON.stringify({ ...machine, seconds, along, points }, null, 2)}\n`)
  await drawCurves(`Coheap: cost of an operation along ${along}`, along, points, `${options.out}/curve-${curve}.svg`)
}
