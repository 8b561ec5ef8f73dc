// The sending half of peers whose two halves start each other: a child process, a worker thread.
import { once } from 'node:events'
import { parentPort } from 'node:worker_threads'
import { sendBytes } from './groups/bytes.mjs'
import { sendAll } from './groups/messages.mjs'
import { NESTED, sendNested } from './groups/objects.mjs'

const [way, row, count] = process.argv.slice(2)
/** Messages that may be on their way: the sender waits now and then, and at the end (what is queued at a disconnect is dropped). */
const ahead = row.startsWith('1 MiB') ? 8 : row === NESTED ? 100 : way === 'ipc' ? 1000 : 5000
const n = Number(count)
const send = row.startsWith('1 MiB') ? (each) => sendBytes(n, each) : row === NESTED ? (each) => sendNested(n, each) : (each) => sendAll(row, n, each)

if (way === 'ipc') {
  await send((m, sent, last) => {
    if (sent % ahead === 0 || last) return new Promise((resolve) => process.send(m, resolve))
    process.send(m)
  })
  process.disconnect()
} else {
  await send((m, sent, last) => {
    parentPort.postMessage(m)
    if (sent % ahead === 0 && !last) return once(parentPort, 'message')
  })
  parentPort.unref()
}
