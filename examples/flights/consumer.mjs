// Takes batches until the channel is closed and adds each to the shared totals in one transaction.
import { Heap } from 'coheap'
import { count } from './data.mjs'

const heap = Heap.open(process.argv[2])
const { root } = heap
const { totals, progress } = root
const empty = heap.channel('empty')
const names = []

for await (const batch of heap.channel('full')) {
  const part = new Map()
  let rows = 0
  if (Array.isArray(batch)) {
    for (const [origin, delay] of batch) count(part, origin, delay)
    rows = batch.length
  } else {
    const { origin, delay } = batch
    rows = batch.rows
    for (let i = 0; i < rows; i++) count(part, (names[origin[i]] ??= root.airports[origin[i]]), delay[i])
    await empty.put(batch)
  }
  heap.transaction(() => {
    for (const [origin, add] of part) {
      const t = totals.get(origin)
      if (t === undefined) {
        totals.set(origin, { ...add, share: add.late / add.flights })
      } else {
        t.flights += add.flights
        t.delay += add.delay
        t.late += add.late
        t.share = t.late / t.flights
      }
    }
    progress.rows += rows
  })
}
heap.close()
