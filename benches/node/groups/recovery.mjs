// A process is killed: `recovery.mjs` measures it, with a survivor and victims of its own, and says what exactly.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { atMost } from '../rows.mjs'

export const title = 'recovery'
const name = (killed) => `killed ${killed}: the longest wait`
export const rows = ['holding nothing', 'holding the object', 'in its commit'].map((killed) => ({
  name: name(killed),
  unit: 'ms',
  bar: atMost(10e-3, 'ms'),
}))
/** Who can do it, so that a table has their columns. */
export const entries = Object.fromEntries(['coheap', 'lmdb', 'ems'].map((peer) => [peer, () => ({ cases: {} })]))

/** Measures all rows at once: rates by row and peer; 0 for never. */
export async function together({ peers, quick, out }) {
  const file = `${out}/recovery.json`
  const program = fileURLToPath(new URL('../recovery.mjs', import.meta.url))
  const child = spawn(process.execPath, [program, '--rounds', quick ? '20' : '100', '--peers', peers.join(), '--out', file], { stdio: 'inherit' })
  const [code] = await once(child, 'exit')
  if (code !== 0) throw new Error(`recovery.mjs has ended with ${code}`)
  const rates = Object.fromEntries(rows.map((row) => [row.name, {}]))
  const notes = Object.fromEntries(rows.map((row) => [row.name, {}]))
  for (const { killed, peer, deaths, median, longest } of JSON.parse(readFileSync(file, 'utf8')).figures) {
    rates[name(killed)][peer] = longest === null ? 0 : 1000 / longest
    notes[name(killed)][peer] = { deaths, median: median === null ? 'never' : `${median.toFixed(3)} ms` }
  }
  return rows.map((row) => ({ rates: rates[row.name], notes: notes[row.name] }))
}
