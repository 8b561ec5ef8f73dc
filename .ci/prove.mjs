// Everything that is proved at length, one after the other (`docs/proof.md`): `npm run prove`. Hours, and up to 16 GB.
//   npm run prove -- [--seconds 600] [part…]      seconds for each fuzz target and for the storm
//   npm run prove -- --quick [part…]              a little of each: do they all run?
// Every part runs even if one before it has failed. Ends with a table and "N passed, N failed".
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import Table from 'cli-table3'

const root = fileURLToPath(new URL('..', import.meta.url))
const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'))
const { values, positionals } = parseArgs({
  options: { seconds: { type: 'string' }, quick: { type: 'boolean', default: false } },
  allowPositionals: true,
})
const seconds = ['--seconds', values.seconds ?? (values.quick ? '5' : '600')]
const little = {
  'prove:models': ['--small'],
  'prove:crash': ['--most', '1'],
  'prove:interleavings': ['--small'],
  'prove:corruption': ['--cases', '100'],
  'prove:sanitizers': ['segment'],
}
const args = {
  ...(values.quick ? little : {}),
  'prove:fuzz': seconds,
  storm: seconds,
}
const all = [...Object.keys(scripts).filter((name) => name.startsWith('prove:')), 'storm']
const chosen = positionals.map((name) => (name in scripts ? name : `prove:${name}`))
for (const name of chosen) if (!all.includes(name)) throw new Error(`no such part: ${name} (${all.join(', ')})`)

function run(name) {
  const command = ['run', '--silent', name, ...(name in args ? ['--', ...args[name]] : [])]
  console.log(`\n▶ npm ${command.join(' ')}`)
  const began = performance.now()
  return new Promise((resolve) => {
    const child = spawn('npm', command, { cwd: root, stdio: 'inherit' })
    child.on('close', (code) => resolve({ code, minutes: (performance.now() - began) / 60_000 }))
  })
}

const table = new Table({ head: ['part', 'minutes', ''], style: { head: [] } })
let failed = 0
const parts = chosen.length > 0 ? chosen : all
for (const name of parts) {
  const { code, minutes } = await run(name)
  if (code !== 0) failed += 1
  table.push([name, minutes.toFixed(1), code === 0 ? 'passed' : 'FAILED'])
}
console.log(table.toString())
console.log(`${parts.length - failed} passed, ${failed} failed`)
process.exitCode = failed === 0 ? 0 : 1
