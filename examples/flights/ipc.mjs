// The same job by process.send, for comparison: this process reads and sends, three children count and answer.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { batches, count } from './data.mjs'

if (process.argv[2] === 'consume') {
  const totals = new Map()
  process.on('message', (rows) => {
    if (rows === null) {
      process.send([...totals])
      process.disconnect()
      return
    }
    for (const [origin, delay] of rows) count(totals, origin, delay)
    process.send(rows.length)
  })
}

/** Runs the job on `rows` flights; gives the totals. */
export async function byProcessSend(rows, size, consumers) {
  const children = Array.from({ length: consumers }, () => fork(fileURLToPath(import.meta.url), ['consume']))
  const free = [...children, ...children] // two batches under way for each: the pipe is never idle and never floods
  let wake = () => {}
  const parts = []
  for (const child of children) {
    child.on('message', (answer) => {
      if (Array.isArray(answer)) parts.push(answer)
      else free.push(child)
      wake()
    })
  }
  for await (const { origin, delay } of batches(size, rows)) {
    while (free.length === 0) await new Promise((resolve) => (wake = resolve))
    free.shift().send(origin.map((code, i) => [code, delay[i]]))
  }
  for (const child of children) child.send(null)
  await Promise.all(children.map((child) => once(child, 'exit')))
  const totals = new Map()
  for (const [origin, part] of parts.flat()) {
    const t = totals.get(origin)
    if (t === undefined) totals.set(origin, { ...part })
    else for (const key of ['flights', 'delay', 'late']) t[key] += part[key]
  }
  return totals
}
