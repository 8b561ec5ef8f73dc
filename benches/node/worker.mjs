// One process of one case on one peer: says that it is ready, waits for the start, runs, gives its result.
import { once } from 'node:events'
import { spawnSync } from 'node:child_process'
import { cpus } from 'node:os'

const [{ group, row, peer, role, id, pinned, seconds, shared }] = await once(process, 'message')
if (pinned) {
  const { status, error } = spawnSync('taskset', ['-a', '-c', '-p', String(id % cpus().length), String(process.pid)])
  if (status !== 0) throw new Error(`cannot be pinned: ${error?.message ?? `taskset ended with ${status}`}`)
}
const { entries } = await import(`./groups/${group}.mjs`)
const lib = await import(`./peers/${peer}.mjs`)
const entry = await entries[peer]()
// some open what is shared while the clock runs
const store = entry.lazily ? shared : await lib.join(shared)
const run = await entry.cases[row](store, { role, id, seconds, row })
process.send('ready')
await once(process, 'message')
process.send(await run())
await once(process, 'message')
if (!entry.lazily) await lib.leave?.(store)
process.exit()
