// The sending half of peers whose two halves start each other: a child process, a worker thread.
import { once } from 'node:events'
import { parentPort } from 'node:worker_threads'
import { sendAll } from './groups/messages.mjs'

const [way, row, count] = process.argv.slice(2)
if (way === 'ipc') {
  await sendAll(row, Number(count), (m, sent, last) => {
    // waits for the pipe now and then, and at the end: what is still queued at a disconnect is dropped
    if (sent % 1000 === 0 || last) return new Promise((resolve) => process.send(m, resolve))
    process.send(m)
  })
  process.disconnect()
} else {
  await sendAll(row, Number(count), (m, sent, last) => {
    parentPort.postMessage(m)
    if (sent % 5000 === 0 && !last) return once(parentPort, 'message')
  })
  parentPort.unref()
}
