// Death and pause at every instruction boundary that differs for others, of every operation that changes a heap (Linux
// on x86-64). Prints boundaries, states, deaths and pauses of each.
//   npm run prove:crash -- [--all: a death at every boundary] [--seed 1] [part of an operation's name …]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  options: { all: { type: 'boolean', default: false }, seed: { type: 'string' } },
  allowPositionals: true,
})
if (values.seed !== undefined && !/^\d+$/.test(values.seed)) throw new Error(`--seed wants a whole number, not ${values.seed}`)
const wish = [values.all ? '--all' : '--states', ...(values.seed ? ['--seed', values.seed] : []), ...positionals]
const { status } = spawnSync('cargo', ['test', '--quiet', '--release', '-p', 'coheap-heap', '--test', 'crash', '--', ...wish], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  stdio: 'inherit',
  // whole-program optimisation takes minutes, and is not needed here
  env: { ...process.env, CARGO_PROFILE_RELEASE_LTO: 'off', CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16' },
})
process.exitCode = status ?? 1
