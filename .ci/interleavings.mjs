// Interleavings and orderings: loom, then shuttle (CONTRIBUTING.md, *Interleavings*).
//   npm run prove:interleavings -- [--small] [--seed N] [--executions N] [part of a name …]
// Both run even if the first has failed. Ends with "N passed, N failed".
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const { values, positionals } = parseArgs({
  options: { small: { type: 'boolean', default: false }, seed: { type: 'string' }, executions: { type: 'string' } },
  allowPositionals: true,
})
const numbers = []
for (const name of ['seed', 'executions']) {
  if (values[name] === undefined) continue
  if (!/^\d+$/.test(values[name])) throw new Error(`--${name} wants a whole number, not ${values[name]}`)
  numbers.push(`--${name}`, values[name])
}
const common = [...(values.small ? ['--small'] : []), ...positionals]

/** Runs a checker and shows what it says; gives what it has counted. */
function run(checker, args) {
  const build = ['run', '--quiet', '--profile', 'models', '-p', 'coheap-interleavings', '--features', checker, '--bin', checker]
  console.log(`\n▶ ${checker} ${args.join(' ')}`)
  const child = spawn('cargo', [...build, '--', ...args], {
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let end = ''
  child.stdout.setEncoding('utf8').on('data', (text) => {
    end = (end + text).slice(-1000)
    process.stdout.write(text)
  })
  return new Promise((resolve) => {
    child.on('close', (code) => {
      const [, passed, failed] = /^(\d+) passed, (\d+) failed$/m.exec(end) ?? [0, 0, 0]
      // it did not compile, or it was killed
      resolve({ passed: Number(passed), failed: code !== 0 && Number(failed) === 0 ? 1 : Number(failed) })
    })
  })
}

const found = [await run('loom', common), await run('shuttle', [...numbers, ...common])]
const sum = (what) => found.reduce((total, of) => total + of[what], 0)
console.log(`${sum('passed')} passed, ${sum('failed')} failed`)
process.exitCode = sum('failed') === 0 ? 0 : 1
