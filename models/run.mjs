#!/usr/bin/env node
// Runs the Promela models of the protocol with Spin, and their mutants.
//
//   node models/run.mjs --small [model…]   every model in a size of seconds, and every mutant (part of the tests)
//   node models/run.mjs --large [model…]   exhaustive: many minutes, up to 16 GB (--memory MB: at most so much)
//
// `table.json` says what is run. A configuration has to be searched to its end without an error; a mutant (a
// compile-time switch that takes one rule of the protocol away) has to fail. Ends with "N passed, N failed".
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = dirname(fileURLToPath(import.meta.url))
const { values, positionals: only } = parseArgs({
  options: { small: { type: 'boolean' }, large: { type: 'boolean' }, memory: { type: 'string', default: '16000' } },
  allowPositionals: true,
})
// `npm run prove:models -- --small` says both
const large = values.large === true && values.small !== true
const table = JSON.parse(readFileSync(join(here, 'table.json'), 'utf8'))

/** True if the program is there. */
function has(program) {
  try {
    execFileSync(program, [program === 'spin' ? '-V' : '--version'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

if (!has('spin') && process.getuid?.() === 0 && existsSync('/etc/debian_version')) {
  console.log('spin is not installed: trying apt-get install -y spin')
  try {
    execFileSync('apt-get', ['install', '-y', 'spin'], { stdio: 'ignore', timeout: 120_000 })
  } catch {
    // reported below
  }
}
const missing = ['spin', 'gcc'].filter((program) => !has(program))
if (missing.length > 0) {
  console.log(`The models were not run: ${missing.join(' and ')} not found (Debian: apt-get install spin gcc).`)
  console.log('0 passed, 0 failed')
  process.exit(0)
}

/** Runs a program in a folder; what it printed and its exit code. */
function run(program, argv, cwd) {
  return new Promise((resolve) => {
    const child = spawn(program, argv, { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
    let out = ''
    child.stdout.on('data', (data) => (out += data))
    child.stderr.on('data', (data) => (out += data))
    child.on('error', (error) => resolve({ out: String(error), code: -1 }))
    child.on('close', (code) => resolve({ out, code }))
  })
}

/** Searches one configuration. `verdict`: "no error", "error" or why there is none. */
async function search({ model, defines, memory, depth, expected }) {
  const folder = mkdtempSync(join(tmpdir(), 'coheap-model-'))
  try {
    copyFileSync(join(here, `${model}.pml`), join(folder, 'model.pml'))
    const flags = defines.map((define) => `-D${define}`)
    const spin = await run('spin', ['-a', ...flags, 'model.pml'], folder)
    if (spin.code !== 0 || !existsSync(join(folder, 'pan.c'))) {
      return { states: 0, verdict: 'spin failed', why: spin.out.trim().split('\n').slice(-3).join(' | ') }
    }
    // a mutant is found out sooner than a better compiler would pay for itself
    const optimize = expected === 'error' ? '-O0' : large ? '-O2' : '-O1'
    const options = ['-DSAFETY', '-DVECTORSZ=4096', `-DMEMLIM=${memory}`, '-w', ...(large ? ['-DCOLLAPSE'] : [])]
    const gcc = await run('gcc', [optimize, ...options, '-o', 'pan', 'pan.c'], folder)
    if (gcc.code !== 0) return { states: 0, verdict: 'gcc failed', why: gcc.out.trim().split('\n')[0] }
    const { out } = await run('./pan', [`-m${depth}`], folder)
    const states = Number(/([\d.e+]+) states, stored/.exec(out)?.[1] ?? 0)
    const errors = Number(/errors: (\d+)/.exec(out)?.[1] ?? -1)
    const megabytes = Math.ceil(Number(/([\d.]+)\s+total actual memory usage/.exec(out)?.[1] ?? 0))
    const why = /pan:\d+: (.*)/.exec(out)?.[1] ?? ''
    // a search that met a bound has not seen everything
    const cut = /max search depth too small|out of memory|reached -DMEMLIM bound|VECTORSZ too small/.exec(out)?.[0]
    if (errors > 0 && !/max search depth|out of memory|MEMLIM|VECTORSZ/.test(why)) return { states, megabytes, verdict: 'error', why }
    if (cut || errors !== 0 || /Search not completed/.test(out)) {
      return { states, megabytes, verdict: cut ?? 'not completed', why: why || out.trim().split('\n').at(-1) }
    }
    return { states, megabytes, verdict: 'no error', why: '' }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const jobs = []
for (const { model, small, large: big, mutants } of table) {
  if (only.length > 0 && !only.includes(model)) continue
  for (const config of large ? (big ?? []) : small) {
    jobs.push({ model, what: config.join(' ') || '-', defines: config, expected: 'no error' })
  }
  // mutants fail early: the small sizes are enough
  for (const { name, with: others = [] } of mutants) {
    jobs.push({ model, what: name, defines: [...name.split(' '), ...others], expected: 'error' })
  }
}

// The large ones one at a time: each may need all of the memory.
const workers = large ? 1 : Math.min(2, availableParallelism())
const results = new Array(jobs.length)
let next = 0
let printed = 0
let failed = 0
const started = Date.now()

function print() {
  for (; printed < jobs.length && results[printed]; printed += 1) {
    const { model, what, expected } = jobs[printed]
    const { states, megabytes = 0, verdict, why, seconds } = results[printed]
    const good = verdict === expected
    if (!good) failed += 1
    const columns = [
      model.padEnd(14),
      what.padEnd(34),
      String(states).padStart(10),
      String(megabytes).padStart(6),
      seconds.padStart(7),
      verdict.padEnd(9),
    ]
    console.log(`${columns.join('  ')}  ${good ? 'as expected' : `FAILED: expected ${expected}. ${why.slice(0, 300)}`}`)
  }
}

async function worker() {
  while (next < jobs.length) {
    const i = next
    next += 1
    const job = jobs[i]
    const from = Date.now()
    const found = await search({ ...job, memory: large ? Number(values.memory) : 3000, depth: large ? 5_000_000 : 1_000_000 })
    results[i] = { ...found, seconds: ((Date.now() - from) / 1000).toFixed(1) }
    print()
  }
}

console.log(
  `${'model'.padEnd(14)}  ${'configuration or mutant'.padEnd(34)}  ${'states'.padStart(10)}  ${'MB'.padStart(6)}  ${'s'.padStart(7)}  verdict    expected?`,
)
await Promise.all(Array.from({ length: workers }, worker))
console.log(`${((Date.now() - started) / 1000).toFixed(0)} s`)
console.log(`${jobs.length - failed} passed, ${failed} failed`)
process.exit(failed === 0 ? 0 : 1)
