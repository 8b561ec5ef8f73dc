// Writers against readers of the path that reads without crossing into native code, on several versions of Node.js and
// with several of the engine's compilers: only what was written to a place may ever be read there.
//   npm run reads -- --reads 1e8 --node /path/to/node22 --node /path/to/node24
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'

const FLAGS = [[], ['--no-opt'], ['--maglev'], ['--always-turbofan']]
const collect = (value, list) => [...list, value]
const opts = new Command('reads')
  .option('--reads <n>', 'reads with the flags as they are', '1e7')
  .option('--flagged <n>', 'reads with each of the other flags', '1e6')
  .option('--writers <n>', 'processes that write', '1')
  .option('--node <path>', 'another Node.js; may be given several times', collect, [])
  .option('--plant', 'have the writers write what is wrong, now and then: it must be found')
  .parse()
  .opts()

const reader = fileURLToPath(new URL('reader.mjs', import.meta.url))
let failed = false

for (const node of [process.execPath, ...opts.node]) {
  const { stdout, status } = spawnSync(node, ['--version'], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`this is no Node.js: ${node}`)
  for (const flags of FLAGS) {
    // a version that does not know a flag says so at once
    if (spawnSync(node, [...flags, '-e', '0']).status !== 0) continue
    const count = flags.length === 0 ? opts.reads : opts.flagged
    const args = [...flags, reader, count, opts.writers, ...(opts.plant ? ['plant'] : [])]
    const child = spawn(node, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (output += text))
    const [code] = await once(child, 'close')
    if (code !== 0) throw new Error(`${node} ${args.join(' ')} ended with ${code}: ${output}`)
    const { reads, changes, seconds, faults } = JSON.parse(output)
    const met = Object.values(changes).reduce((sum, n) => sum + n, 0)
    const who = [stdout.trim(), ...flags].join(' ')
    const speed = (reads / seconds / 1e6).toFixed(2)
    console.log(
      `${who}: ${reads} reads in ${seconds.toFixed(1)} s, ${speed} M/s; ${met} changes met; ${faults.length} faults`,
    )
    for (const fault of faults) console.log(`  ${fault}`)
    failed ||= faults.length > 0
  }
}
process.exitCode = failed ? 1 : 0
