// process.send from a child to its parent.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { MESSAGES, filled, message } from '../cases.mjs'

if (process.argv[2] === 'produce') {
  const [objects, batch] = process.argv.slice(3).map(Number)
  const make = objects ? message : (i) => i
  for (let i = 0; i < MESSAGES; i += batch) {
    const m = batch === 1 ? make(i) : filled(batch, (k) => make(i + k))
    // wait for the pipe now and then, and at the end: what is still queued at a disconnect is dropped
    if (i % 1000 === 0 || i + batch >= MESSAGES) await new Promise((resolve) => process.send(m, resolve))
    else process.send(m)
  }
  process.disconnect()
}

const channel = (objects, batch) => ({ role }) => {
  if (role === 'producer') return () => ({ seconds: 0 })
  return async () => {
    const start = performance.now()
    const child = fork(fileURLToPath(import.meta.url), ['produce', objects ? '1' : '0', String(batch)])
    let expected = 0
    await new Promise((resolve, reject) => {
      child.on('message', (m) => {
        for (const one of batch === 1 ? [m] : m) {
          if ((objects ? one.id : one) !== expected++) reject(new Error('out of order'))
        }
        if (expected === MESSAGES) resolve()
      })
      child.on('error', reject)
    })
    return { ops: MESSAGES, seconds: (performance.now() - start) / 1000 }
  }
}

export default {
  setup: () => null,
  cases: {
    'numbers 1 → 1': channel(false, 1),
    'numbers 1 → 1, batches': channel(false, 100),
    'objects 1 → 1': channel(true, 1),
    'objects 1 → 1, batches': channel(true, 100),
  },
}
