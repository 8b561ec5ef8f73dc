// All tests, one after the other; every step runs even if one before it failed. Ends with one line that adds up the
// Rust and the Node tests: "N passed, N failed". A check that is not a set of tests (a linter) counts as one.
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tally = { passed: 0, failed: 0 }

/** Runs a command, shows what it prints, and gives its exit code and output. */
function run(command, env = {}) {
  console.log(`\n▶ ${command}`)
  const began = performance.now()
  return new Promise((resolve) => {
    const child = spawn(command, { cwd: root, shell: true, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text
        process.stdout.write(text)
      })
    }
    child.on('close', (code) => {
      console.log(`  ${((performance.now() - began) / 1000).toFixed(1)} s`)
      resolve({ code, output })
    })
  })
}

function add(passed, failed) {
  tally.passed += passed
  tally.failed += failed
}

async function check(command, env) {
  const { code } = await run(command, env)
  add(code === 0 ? 1 : 0, code === 0 ? 0 : 1)
  return code === 0
}

async function cargoTest(command) {
  const { code, output } = await run(command)
  let failed = 0
  for (const [, p, f] of output.matchAll(/^test result: .*? (\d+) passed; (\d+) failed/gm)) {
    add(Number(p), Number(f))
    failed += Number(f)
  }
  // it did not compile, or a test program died
  if (code !== 0 && failed === 0) add(0, 1)
}

/** A program that ends with "N passed, N failed". */
async function counting(command) {
  const { code, output } = await run(command)
  const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(output) ?? [0, 0, 0]
  add(Number(passed), Number(failed))
  if (code !== 0 && Number(failed) === 0) add(0, 1)
}

async function tap(command) {
  const { code, output } = await run(command)
  const passed = [...output.matchAll(/^ok \d+/gm)].length
  const failed = [...output.matchAll(/^not ok \d+/gm)].length
  add(passed, failed)
  if (passed + failed === 0 || (code !== 0 && failed === 0)) add(0, 1)
}

const built = await check('npm run build')
await check('cargo fmt --all --check')
await check('cargo clippy --workspace --all-targets --quiet -- -D warnings')
await check('cargo doc --workspace --no-deps --quiet', { RUSTDOCFLAGS: '-D warnings' })
await check('npm run lint --silent')
await check('npm run test:types --silent')
await counting('node models/run.mjs --small')
await cargoTest('cargo test --workspace --no-fail-fast')
for (const checker of ['loom', 'shuttle']) {
  await check(`cargo clippy --quiet -p coheap-interleavings --features ${checker} --bin ${checker} -- -D warnings`)
  await counting(`cargo run --quiet -p coheap-interleavings --features ${checker} --bin ${checker} -- --small`)
}
if (built) await tap('npx ava --tap')
else add(0, 1)

console.log(`\n${tally.passed} passed, ${tally.failed} failed`)
process.exitCode = tally.failed === 0 ? 0 : 1
