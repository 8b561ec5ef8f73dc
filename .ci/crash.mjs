// Death and pause at every instruction boundary that differs for others, of every operation that changes a heap (Linux
// on x86-64). Prints boundaries, states, deaths and pauses of each.
//   npm run prove:crash -- [--all: a death at every boundary] [--most 100: states of each operation] [--seed 1] [part of a name …]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  options: { all: { type: 'boolean', default: false }, seed: { type: 'string' }, most: { type: 'string' } },
  allowPositionals: true,
})
const wish = [values.all ? '--all' : '--states', ...positionals]
for (const name of ['seed', 'most']) {
  if (values[name] === undefined) continue
  if (!/^\d+$/.test(values[name])) throw new Error(`--${name} wants a whole number, not ${values[name]}`)
  wish.push(`--${name}`, values[name])
}
const { status } = spawnSync('cargo', ['test', '--quiet', '--release', '-p', 'coheap-heap', '--test', 'crash', '--', ...wish], {
  cwd: fileURLToPath(new URL('..', import.meta.url)),
  stdio: 'inherit',
  // whole-program optimisation takes minutes, and is not needed here
  env: { ...process.env, CARGO_PROFILE_RELEASE_LTO: 'off', CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16' },
})
process.exitCode = status ?? 1
