// The comparison: every case on every peer that can do it, in processes of their own, in one run. A case is run
// `--rounds` times, the peers taking turns, and the median counts. Prints a table, writes results.json.
//   npm run bench [-- --rounds 3 --seconds 1 --only map --peers coheap,ems]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'
import { CASES, PEERS } from './cases.mjs'

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '1' },
    only: { type: 'string', default: '' },
    peers: { type: 'string', default: PEERS.join() },
    out: { type: 'string', default: fileURLToPath(new URL('results.json', import.meta.url)) },
  },
})
const rounds = Number(options.rounds)
const seconds = Number(options.seconds)
const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1]
/** The longest that one case may take, in milliseconds: many times what the slowest peer needs. */
const LIMIT = 60_000 + 2000 * seconds
const worker = fileURLToPath(new URL('worker.mjs', import.meta.url))

const peers = {}
for (const name of PEERS.filter((name) => options.peers.split(',').includes(name))) {
  try {
    const { default: peer } = await import(`./peers/${name}.mjs`)
    peers[name] = peer
  } catch (error) {
    console.log(`skipped ${name}: ${error.message.split('\n')[0]}`)
  }
}

/** Runs one case on one peer; gives operations a second. Throws if the result is wrong. */
async function run(test, name, peer) {
  const shared = await peer.setup(test)
  const children = test.roles.map((role, id) => fork(worker, [name], { serialization: 'advanced', env: { ...process.env, ROLE: role, ID: String(id) } }))
  // a peer that has lost its other half may spin for ever
  let late = false
  const limit = setTimeout(() => {
    late = true
    for (const child of children) child.kill('SIGKILL')
  }, LIMIT)
  try {
    const answers = await Promise.all(
      children.map(async (child) => {
        const failed = once(child, 'exit').then(([code, signal]) => {
          throw new Error(late ? `not done within ${LIMIT / 1000} s` : `a process ended early (${code ?? signal})`)
        })
        failed.catch(() => {})
        const message = async () => (await Promise.race([once(child, 'message'), failed]))[0]
        child.send({ test: test.name, seconds, shared })
        await message()
        return { child, message }
      }),
    )
    for (const { child } of answers) child.send('go')
    const results = await Promise.all(answers.map(({ message }) => message()))
    const ops = results.reduce((a, r) => a + (r.ops ?? 0), 0)
    const time = Math.max(...results.map((r) => r.seconds))
    await peer.check?.(test, shared, results)
    return ops / time
  } catch (error) {
    // the others may be waiting for the one that failed
    for (const child of children) child.kill('SIGKILL')
    throw error
  } finally {
    for (const child of children) {
      if (child.connected) child.send('end')
    }
    await Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')))
    clearTimeout(limit)
    await peer.teardown?.(shared, children.map((child) => child.pid))
  }
}

const figures = []
for (const test of CASES.filter((test) => test.name.includes(options.only))) {
  const rates = {}
  for (let round = 0; round < rounds; round++) {
    for (const [name, peer] of Object.entries(peers)) {
      if (peer.cases[test.name] === undefined) continue
      try {
        ;(rates[name] ??= []).push(await run(test, name, peer))
      } catch (error) {
        console.error(`${name}: ${test.name}: ${error.message}`)
        process.exitCode = 1
      }
    }
  }
  const row = { case: test.name, ...Object.fromEntries(Object.entries(rates).map(([name, list]) => [name, median(list)])) }
  figures.push(row)
  console.log(row)
}

const table = new Table({
  style: process.stdout.isTTY ? {} : { head: [], border: [] },
  head: ['M/s (median)', ...Object.keys(peers), 'coheap / best peer'],
  colAligns: ['left', ...Object.keys(peers).map(() => 'right'), 'right'],
})
for (const row of figures) {
  const best = Math.max(...Object.keys(peers).filter((name) => name !== 'coheap').map((name) => row[name] ?? 0))
  const cells = Object.keys(peers).map((name) => (row[name] === undefined ? '–' : (row[name] / 1e6).toFixed(3)))
  table.push([row.case, ...cells, best > 0 && row.coheap ? `${(row.coheap / best).toFixed(2)} ×` : '–'])
}
console.log(table.toString())
writeFileSync(options.out, `${JSON.stringify({ date: new Date().toISOString(), node: process.version, cpu: cpus()[0]?.model, cores: cpus().length, rounds, seconds, figures }, null, 2)}\n`)
