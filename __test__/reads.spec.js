// The short form of `npm run reads`: see reads/main.mjs.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { belongs, numberOf, textOf, valueOf } from './reads/tagged.mjs'

const main = fileURLToPath(new URL('reads/main.mjs', import.meta.url))

async function run(...args) {
  const child = spawn(process.execPath, [main, ...args.map(String)], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const [code] = await once(child, 'close')
  return { code, output }
}

test('what is read while others write is only ever what was written, with each of the compilers', async (t) => {
  t.timeout(300_000)
  const { code, output } = await run('--reads', 2e6, '--flagged', 1e5)
  t.is(code, 0, output)
  t.regex(output, /--no-opt/)
})

test('a value of another place is found', async (t) => {
  t.timeout(300_000)
  const { code, output } = await run('--reads', 1e7, '--flagged', 1e7, '--plant')
  t.is(code, 1, output)
  // by each of the compilers
  for (const [line] of output.matchAll(/^v\d.*/gm)) t.notRegex(line, / 0 faults$/, output)
})

test('the checker knows each kind of value by its place, and half of another for what it is', (t) => {
  const children = [{ kind: 'child', id: 1 }]
  for (let k = 0; k < 100; k += 9) {
    for (let n = 0; n < 5000; n += 7) {
      const value = valueOf(k, n, children)
      t.true(belongs(k, value, false), `${k} ${n} ${String(value)}`)
      if (typeof value === 'number' || (typeof value === 'string' && value !== '')) t.false(belongs(k + 1, value, true))
      if (value === undefined || value === null || typeof value === 'boolean') t.false(belongs(k + 1, value, false))
    }
    const halves = new Uint32Array(Float64Array.of(numberOf(k, 1), numberOf(k, 2)).buffer)
    t.false(belongs(k, new Float64Array(Uint32Array.of(halves[0], halves[3]).buffer)[0], true))
    t.false(belongs(k, textOf(k, 5).slice(0, 4) + 'x', true))
    t.false(belongs(k, NaN, true))
    t.false(belongs(k, {}, true))
  }
})
