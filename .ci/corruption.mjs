// Damaged heaps at length, in Rust and then in JavaScript: `npm run prove:corruption -- [--cases 10000] [--seed 1]`. A case is
// its number: what fails is tried again by `--seed n --cases 1`.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: { cases: { type: 'string', default: '10000' }, seed: { type: 'string', default: '1' } },
})
for (const [name, value] of Object.entries(values)) {
  if (!/^\d+$/.test(value)) throw new Error(`--${name} wants a whole number, not ${value}`)
}
const options = {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  stdio: 'inherit',
  env: { ...process.env, COHEAP_CORRUPTION_CASES: values.cases, COHEAP_CORRUPTION_SEED: values.seed },
}
const rust = spawnSync('cargo', ['test', '-q', '-p', 'coheap-heap', '--test', 'corruption', '--', '--nocapture'], options)
const node = spawnSync('npx', ['ava', '__test__/corruption.spec.js'], options)
process.exitCode = rust.status === 0 && node.status === 0 ? 0 : 1
