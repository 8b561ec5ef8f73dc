// The Rust tests under AddressSanitizer and ThreadSanitizer: `node .ci/sanitizers.mjs [address] [thread]`. Linux x86-64.
//
// The standard library is not instrumented (its source is not part of a toolchain as it is installed by default), so
// ThreadSanitizer does not see the synchronisation inside it. `.ci/tsan-suppressions.txt` says which reports that
// gives, and why each of its lines is right. Ends with "N passed, N failed".
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const target = 'x86_64-unknown-linux-gnu'
const crates = ['segment', 'slab', 'txn', 'objects', 'queue', 'heap']
const chosen = process.argv.slice(2)
const sanitizers = ['address', 'thread'].filter((name) => chosen.length === 0 || chosen.includes(name))

const options = {
  // LeakSanitizer stops the world with ptrace, which containers forbid; a heap's mapping is not malloc's anyway
  address: { ASAN_OPTIONS: 'detect_leaks=0:abort_on_error=1' },
  thread: { TSAN_OPTIONS: `suppressions=${root}.ci/tsan-suppressions.txt:halt_on_error=0:exitcode=66:history_size=4` },
}

if (process.platform !== 'linux' || process.arch !== 'x64') {
  console.log('The sanitizers were not run: they need Linux on x86-64.')
  console.log('0 passed, 0 failed')
  process.exit(0)
}

function run(sanitizer) {
  const names = crates.flatMap((name) => ['-p', `coheap-${name}`])
  // a doc test is compiled by rustdoc, which would need flags of its own
  const args = ['test', '--target', target, ...names, '--lib', '--tests', '--no-fail-fast']
  console.log(`\n▶ ${sanitizer}: cargo ${args.join(' ')}`)
  const child = spawn('cargo', args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      // the flag is not stable; the compiler is the same
      RUSTC_BOOTSTRAP: '1',
      RUSTFLAGS: `-Zsanitizer=${sanitizer} -Cunsafe-allow-abi-mismatch=sanitizer`,
      CARGO_TARGET_DIR: `${process.env.CARGO_TARGET_DIR ?? `${root}target`}/${sanitizer}`,
      COHEAP_SANITIZER: sanitizer,
      // inlined, the standard library's locks and channels are instrumented with our code
      CARGO_PROFILE_TEST_OPT_LEVEL: '2',
      CARGO_PROFILE_DEV_OPT_LEVEL: '2',
      ...options[sanitizer],
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
for (const sanitizer of sanitizers) {
  const { code, output } = await run(sanitizer)
  const reports = [...output.matchAll(/^(?:WARNING|==\d+==ERROR): (?:Thread|Address)Sanitizer: .*/gm)]
  for (const [, p, f] of output.matchAll(/^test result: .*? (\d+) passed; (\d+) failed/gm)) {
    passed += Number(p)
    failed += Number(f)
  }
  if (reports.length > 0) failed += reports.length
  else if (code !== 0 && failed === 0) failed += 1
  console.log(`${sanitizer}: ${reports.length} reports`)
}
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
