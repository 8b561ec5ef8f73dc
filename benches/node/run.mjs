// One case on one peer, in processes of its own.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const worker = fileURLToPath(new URL('worker.mjs', import.meta.url))

/** The processes that run now. */
let running = []
let stopping = false
// some of them spin, and would not notice that nobody waits for them any more; without them the run cleans up, and ends
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.once(signal, () => {
    stopping = true
    for (const child of running) child.kill('SIGKILL')
  })
}

/**
 * Runs a case. `lib` is how the peer is reached (`peers/`), `entry` what it does in this group (`groups/`); CPU profiles of its
 * processes go into the folder `profile`, if there is one.
 * @returns operations a second, and what else the processes noted
 * @throws if a process fails, contents are wrong, or `limit` seconds pass
 */
export async function run({ group, row, peer, lib, entry, seconds, limit, profile }) {
  const store = await lib.make(entry.options)
  let children = []
  // a peer that has lost its other half may spin for ever
  let late = false
  let timer
  try {
    await entry.fill?.(store, row)
    const execArgv = profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]
    const roles = lib.alone ? row.roles.slice(-1) : row.roles
    children = roles.map(() => fork(worker, { serialization: 'advanced', stdio: ['ignore', 'inherit', 'pipe', 'ipc'], execArgv }))
    running = children
    if (stopping) throw new Error('stopped')
    timer = setTimeout(() => {
      late = true
      for (const child of children) child.kill('SIGKILL')
    }, limit * 1000)
    const ready = await Promise.all(
      children.map(async (child, id) => {
        let said = ''
        child.stderr.setEncoding('utf8').on('data', (text) => (said += text))
        const failed = once(child, 'close').then(([code, signal]) => {
          const reason = /^(?:\w*Error|.*Assertion).*$/m.exec(said)?.[0] ?? said.trim()
          throw new Error(late ? `not done within ${limit} s` : `a process ended early (${code ?? signal}): ${reason}`)
        })
        failed.catch(() => {})
        const message = async () => (await Promise.race([once(child, 'message'), failed]))[0]
        child.send({ group, row: row.name, peer, role: roles[id], id, pinned: row.pinned, seconds, shared: lib.shared(store) })
        await message()
        return message
      }),
    )
    for (const child of children) child.send('go')
    const results = await Promise.all(ready.map((message) => message()))
    await entry.check?.(store, row, results)
    const ops = results.reduce((sum, r) => sum + (r.ops ?? 0), 0)
    const time = Math.max(...results.map((r) => r.seconds))
    return { rate: ops / time, notes: Object.assign({}, ...results.map((r) => r.notes)) }
  } catch (error) {
    // the others may be waiting for the one that failed
    for (const child of children) child.kill('SIGKILL')
    throw error
  } finally {
    // one that has just died is told in vain: that is no reason not to clean up
    for (const child of children) if (child.connected) child.send('end', () => {})
    await Promise.all(children.map((child) => child.exitCode ?? child.signalCode ?? once(child, 'exit')))
    clearTimeout(timer)
    await lib.unmake?.(store, children.map((child) => child.pid))
    if (stopping) process.exit(1)
  }
}
