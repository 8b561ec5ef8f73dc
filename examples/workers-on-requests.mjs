// A parent stores ten requests and ten empty responses; one process each answers its own.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Heap } from 'coheap'

const [name, idx] = process.argv.slice(2)

if (name === undefined) {
  const heap = Heap.create()
  heap.root.requests = Array.from({ length: 10 }, (_, idx) => ({ idx, request: `request ${idx}` }))
  heap.root.responses = Array.from({ length: 10 }, () => ({}))
  const workers = heap.root.requests.map(({ idx }) => fork(fileURLToPath(import.meta.url), [heap.name, idx]))
  await Promise.all(workers.map((worker) => once(worker, 'exit')))
  for (const { idx, response } of heap.root.responses) console.log(idx, response)
  heap.close()
} else {
  const heap = Heap.open(name)
  const { request } = heap.root.requests[idx]
  Object.assign(heap.root.responses[idx], { idx: Number(idx), response: `response to ${request}` })
  heap.close()
}
