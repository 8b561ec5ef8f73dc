#!/usr/bin/env node
// Fuzzes the readers of a segment and of the wire with libFuzzer, under AddressSanitizer, a target after the other:
//
//   node fuzz/run.mjs [--seconds N] [target…]
//
// An input that fails is kept in fuzz/findings, with the command that tries it again. Ends with "N passed, N failed".
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const here = fileURLToPath(new URL('.', import.meta.url))
const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string', default: '60' } },
  allowPositionals: true,
})
const targets = positionals.length > 0 ? positionals : ['wire', 'read', 'change']

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.log('Nothing was fuzzed: it needs Linux on x86-64.')
  console.log('0 passed, 0 failed')
  process.exit(0)
}

const triple = 'x86_64-unknown-linux-gnu'
const output = `${process.env.CARGO_TARGET_DIR ?? `${here}target`}/fuzz`
const flags = [
  '--cfg fuzzing',
  '-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer',
  '-Cpasses=sancov-module',
  '-Cllvm-args=-sanitizer-coverage-level=4',
  '-Cllvm-args=-sanitizer-coverage-inline-8bit-counters',
  '-Cllvm-args=-sanitizer-coverage-pc-table',
  '-Cllvm-args=-sanitizer-coverage-trace-compares',
  '-Ccodegen-units=1',
]

/** Runs a program and shows what it says; its exit code and the last lines of its output. */
function run(program, args, env) {
  const child = spawn(program, args, {
    cwd: here,
    stdio: ['ignore', 'inherit', 'pipe'],
    env: { ...process.env, ...env },
  })
  let text = ''
  child.stderr.setEncoding('utf8').on('data', (data) => (text = (text + data).slice(-200_000)))
  return new Promise((resolve) => child.on('close', (code, signal) => resolve({ code: code ?? signal, text })))
}

const built = await run('cargo', ['build', '--release', '--target', triple, ...targets.flatMap((t) => ['--bin', t])], {
  // the flags are not stable; the compiler is the same
  RUSTC_BOOTSTRAP: '1',
  RUSTFLAGS: flags.join(' '),
  CARGO_TARGET_DIR: output,
})
if (built.code !== 0) {
  console.log(built.text)
  console.log('0 passed, 1 failed')
  process.exit(1)
}

const dir = mkdtempSync('/dev/shm/coheap-fuzz-')
const corpora = mkdtempSync(`${tmpdir()}/coheap-fuzz-`)
const findings = `${here}findings/`
mkdirSync(findings, { recursive: true })
let failed = 0
for (const target of targets) {
  const before = readdirSync(findings).length
  const corpus = `${corpora}/${target}`
  mkdirSync(corpus)
  const program = `${output}/${triple}/release/${target}`
  const { code, text } = await run(
    program,
    [
      corpus,
      `${here}seeds/${target}`,
      `-max_total_time=${values.seconds}`,
      // an input takes milliseconds; the rest is for a busy machine
      '-timeout=300',
      '-report_slow_units=300',
      '-rss_limit_mb=3000',
      `-artifact_prefix=${findings}${target}-`,
      '-print_final_stats=1',
    ],
    // LeakSanitizer stops the world with ptrace, which containers forbid
    { COHEAP_FUZZ_DIR: dir, ASAN_OPTIONS: 'detect_leaks=0' },
  )
  const runs = /number_of_executed_units: (\d+)/.exec(text)?.[1] ?? '?'
  const coverage = [...text.matchAll(/cov: (\d+)/g)].at(-1)?.[1] ?? '?'
  const good = code === 0 && readdirSync(findings).length === before
  console.log(`${target}: ${runs} inputs, ${coverage} edges, ${good ? 'nothing found' : 'FAILED'}`)
  if (!good) {
    failed += 1
    console.log(text.slice(-6000))
    console.log(`again: COHEAP_FUZZ_DIR=/dev/shm ${program} <the file in fuzz/findings>`)
  }
}
rmSync(dir, { recursive: true, force: true })
rmSync(corpora, { recursive: true, force: true })
console.log(`${targets.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
