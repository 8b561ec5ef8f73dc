// Eight processes that change everything in a heap, of which one is killed or stopped every few milliseconds, and a
// check of all that they wrote down. Prints seed, deaths, pauses, commits, operations and the longest stall.
//   npm run storm -- [--seconds 60] [--seed 1] [--calm]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '60' },
    seed: { type: 'string', default: '1' },
    // nobody is killed or stopped: what a stall is on this machine
    calm: { type: 'boolean', default: false },
  },
})
const { calm, ...numbers } = values
for (const [name, value] of Object.entries(numbers)) {
  if (!/^\d+$/.test(value)) throw new Error(`--${name} wants a whole number, not ${value}`)
}
const args = ['test', '--quiet', '--release', '-p', 'coheap-heap', '--test', 'recovery', 'storm::']
const { status } = spawnSync('cargo', [...args, '--', '--nocapture', '--test-threads=1'], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  stdio: 'inherit',
  // whole-program optimisation takes minutes, and is not needed here
  env: {
    ...process.env,
    CARGO_PROFILE_RELEASE_LTO: 'off',
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
    COHEAP_STORM_SECONDS: values.seconds,
    COHEAP_STORM_SEED: values.seed,
    COHEAP_STORM_CALM: calm ? '1' : '0',
  },
})
process.exitCode = status ?? 1
