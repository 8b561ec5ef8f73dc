// test262 on live containers: how many of how many, why the rest does not apply. `npm run conformance -- --test262 DIR`.
import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { writeFileSync } from 'node:fs'
import Table from 'cli-table3'
import { Command } from 'commander'
import { listTests } from './checkout.mjs'
import { EXPLAINED, GROUPS } from './groups.mjs'
import { judgeAll } from './pool.mjs'

const opts = new Command('conformance')
  .requiredOption('--test262 <dir>', 'a checkout of tc39/test262')
  .option('--only <text>', 'only tests whose path holds this')
  .option('--every <n>', 'a sample: one test out of so many', '1')
  .option('--quick', 'each test in one mode only: sloppy if it allows that')
  .option('--jobs <n>', 'processes', String(availableParallelism()))
  .option('--json <file>', 'write the outcome of every test there')
  .parse()
  .opts()

const root = resolve(opts.test262)
const paths = []
const groupOf = new Map()
for (const [group, folders] of Object.entries(GROUPS)) {
  for (const folder of folders) {
    for (const path of listTests(root, folder)) {
      if (groupOf.has(path) || (opts.only !== undefined && !path.includes(opts.only))) continue
      groupOf.set(path, group)
      paths.push(path)
    }
  }
}

const every = Number(opts.every)
if (!Number.isInteger(every) || every < 1) throw new RangeError('--every takes a whole number from 1')
const chosen = paths.filter((_, i) => i % every === 0)

const tally = new Map(Object.keys(GROUPS).map((group) => [group, { tests: 0, apply: 0, passed: 0 }]))
const inapplicable = new Map()
const documented = new Map()
const failures = []
const all = []
const count = (map, reason) => map.set(reason, (map.get(reason) ?? 0) + 1)

await judgeAll(root, chosen, { jobs: Number(opts.jobs), quick: opts.quick === true }, (path, results) => {
  all.push({ path, results })
  const row = tally.get(groupOf.get(path))
  row.tests++
  const failed = results.filter((r) => r.outcome === 'failed')
  const differs = results.find((r) => r.outcome === 'documented')
  const explained = failed.length > 0 ? EXPLAINED.find(({ tests }) => tests.test(path)) : undefined
  if (failed.length > 0 && explained === undefined) {
    row.apply++
    for (const f of failed) {
      failures.push(path)
      console.log(`not ok ${path} (${f.mode}): ${f.error}`)
    }
  } else if (explained !== undefined) count(documented, explained.reason)
  else if (differs !== undefined) count(documented, differs.reason)
  else if (results.some((r) => r.outcome === 'passed')) {
    row.apply++
    row.passed++
  } else count(inapplicable, results[0].reason)
})

if (opts.json !== undefined) writeFileSync(opts.json, JSON.stringify(all, undefined, 1))

const table = new Table({
  head: ['', 'tests', 'apply', 'passed'],
  colAligns: ['left', 'right', 'right', 'right'],
  style: { head: [], border: [] },
})
const sum = { tests: 0, apply: 0, passed: 0 }
for (const [group, row] of tally) {
  if (row.tests === 0) continue
  table.push([group, row.tests, row.apply, row.passed])
  for (const key of Object.keys(sum)) sum[key] += row[key]
}
table.push(['all', sum.tests, sum.apply, sum.passed])
console.log(table.toString())
list('Do not apply', inapplicable)
list('Differ as the README says', documented)
console.log(`\n${sum.passed} of ${sum.apply} tests pass on live containers, Node ${process.version}`)
process.exitCode = failures.length === 0 && sum.apply > 0 ? 0 : 1

function list(title, reasons) {
  console.log(`\n${title}:`)
  for (const [reason, n] of [...reasons].sort((a, b) => b[1] - a[1])) console.log(`${String(n).padStart(6)}  ${reason}`)
}
