// A Unix socket with lines of JSON; in batches: an array a line.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { MESSAGES, filled, message } from '../cases.mjs'

const channel = (make, idOf, batch) => async ({ role, shared }) => {
  const path = join(shared, 'socket')
  if (role === 'consumer') {
    const server = createServer().listen(path)
    await once(server, 'listening')
    // from now on: the producer may be quicker than the start of the clock here
    const connection = once(server, 'connection')
    return async () => {
      const start = performance.now()
      const [socket] = await connection
      let expected = 0
      let rest = ''
      socket.setEncoding('utf8')
      for await (const chunk of socket) {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop()
        for (const line of lines) {
          for (const m of batch === 1 ? [JSON.parse(line)] : JSON.parse(line)) {
            if (idOf(m) !== expected++) throw new Error('out of order')
          }
        }
      }
      if (expected !== MESSAGES) throw new Error(`${expected} messages came`)
      server.close()
      return { ops: MESSAGES, seconds: (performance.now() - start) / 1000 }
    }
  }
  return async () => {
    let socket
    for (;;) {
      socket = connect(path)
      const ok = await Promise.race([once(socket, 'connect').then(() => true), once(socket, 'error').then(() => false)]).catch(() => false)
      if (ok) break
      await sleep(5)
    }
    const start = performance.now()
    for (let i = 0; i < MESSAGES; i += batch) {
      const line = batch === 1 ? JSON.stringify(make(i)) : JSON.stringify(filled(batch, (k) => make(i + k)))
      if (!socket.write(`${line}\n`)) await once(socket, 'drain')
    }
    socket.end()
    await once(socket, 'close')
    return { seconds: (performance.now() - start) / 1000 }
  }
}

export default {
  setup: () => mkdtempSync(join(tmpdir(), 'bench-socket-')),
  teardown: (dir) => rmSync(dir, { recursive: true, force: true }),
  cases: {
    'numbers 1 → 1': channel((i) => i, (m) => m, 1),
    'numbers 1 → 1, batches': channel((i) => i, (m) => m, 100),
    'objects 1 → 1': channel(message, (m) => m.id, 1),
    'objects 1 → 1, batches': channel(message, (m) => m.id, 100),
  },
}
