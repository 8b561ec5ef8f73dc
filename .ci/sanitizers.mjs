// The Rust tests under AddressSanitizer and ThreadSanitizer. Linux x86-64.
//   npm run prove:sanitizers -- [address|thread…] [segment|slab|txn|objects|queue|heap…]      all, unless some are named
//
// ThreadSanitizer is only right if it sees all synchronisation, so it builds the standard library too, instrumented:
// `rustup component add rust-src`. (A `Mutex` of a standard library that it cannot see into looks like no lock.)
// Ends with a table and "N passed, N failed".
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import Table from 'cli-table3'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = 'x86_64-unknown-linux-gnu'
const allSanitizers = ['address', 'thread']
const allCrates = ['segment', 'slab', 'txn', 'objects', 'queue', 'heap']
const named = process.argv.slice(2)
for (const name of named) {
  const known = [...allSanitizers, ...allCrates]
  if (!known.includes(name)) throw new Error(`neither a sanitizer nor a crate: ${name} (${known.join(', ')})`)
}
const among = (all) => (all.some((name) => named.includes(name)) ? all.filter((name) => named.includes(name)) : all)
const sanitizers = among(allSanitizers)
const crates = among(allCrates)

const builds = {
  address: {
    // the standard library as it comes is not instrumented
    rustflags: '-Zsanitizer=address -Cunsafe-allow-abi-mismatch=sanitizer',
    args: [],
    // LeakSanitizer stops the world with ptrace, which containers forbid; a heap's mapping is not malloc's anyway
    options: { ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1' },
  },
  thread: {
    rustflags: '-Zsanitizer=thread',
    args: ['-Zbuild-std'],
    options: { TSAN_OPTIONS: 'halt_on_error=0:exitcode=66:history_size=4' },
  },
}

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.log('The sanitizers were not run: they need Linux on x86-64.')
  console.log('0 passed, 0 failed')
  process.exit(0)
}

function run(sanitizer) {
  const names = crates.flatMap((name) => ['-p', `coheap-${name}`])
  const build = builds[sanitizer]
  // a doc test is compiled by rustdoc, which would need flags of its own
  const args = ['test', ...build.args, '--target', target, ...names, '--lib', '--tests', '--no-fail-fast']
  console.log(`\n▶ ${sanitizer}: cargo ${args.join(' ')}`)
  const child = spawn('cargo', args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      // the flags are not stable; the compiler is the same
      RUSTC_BOOTSTRAP: '1',
      RUSTFLAGS: build.rustflags,
      CARGO_TARGET_DIR: `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/${sanitizer}`,
      COHEAP_SANITIZER: sanitizer,
      CARGO_PROFILE_DEV_OPT_LEVEL: '1',
      CARGO_PROFILE_DEV_DEBUG: 'line-tables-only',
      ...build.options,
    },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text
      process.stdout.write(text)
    })
  }
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, output })))
}

let passed = 0
let failed = 0
const table = new Table({ head: ['sanitizer', 'crates', 'tests', 'failed', 'ignored', 'reports'], style: { head: [] } })
for (const sanitizer of sanitizers) {
  const { code, output } = await run(sanitizer)
  const reports = [...output.matchAll(/^(?:WARNING|==\d+==ERROR): (?:Thread|Address)Sanitizer: .*/gm)].length
  const results = [...output.matchAll(/^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored/gm)]
  const sum = (group) => results.reduce((total, result) => total + Number(result[group]), 0)
  // a process that a sanitizer ended, and a build that did not succeed, have no line of results
  const broken = sum(2) + reports > 0 || code === 0 ? 0 : 1
  passed += sum(1)
  failed += sum(2) + reports + broken
  table.push([sanitizer, crates.join(' '), sum(1) + sum(2), sum(2) + broken, sum(3), reports])
}
console.log(table.toString())
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
