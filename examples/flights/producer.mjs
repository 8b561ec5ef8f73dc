// Reads the flights and puts them on the channel, in both kinds of batch in turn:
//  - frozen rows, which travel by value: whoever takes them frees them;
//  - columns: typed arrays in the heap, filled in place and used again and again (`empty` brings them back).
import { Heap } from 'coheap'
import { batches } from './data.mjs'

const [name, rows, size] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const heap = Heap.open(name)
const full = heap.channel('full')
const empty = heap.channel('empty')
const codes = new Map()

let turn = 0
for await (const { origin, delay } of batches(size, rows)) {
  if (turn++ % 2 === 0) {
    // rows of 1,000 a message: a by-value message is copied once on its way in and once on its way out
    for (let at = 0; at < origin.length; at += 1000) {
      const list = []
      for (let i = at; i < Math.min(at + 1000, origin.length); i++) list.push(Object.freeze([origin[i], delay[i]]))
      await full.put(Object.freeze(list))
    }
  } else {
    const columns = await empty.take()
    const origins = columns.origin
    const delays = columns.delay
    for (let i = 0; i < origin.length; i++) {
      let code = codes.get(origin[i])
      if (code === undefined) {
        code = heap.root.airports.push(origin[i]) - 1
        codes.set(origin[i], code)
      }
      origins[i] = code
      delays[i] = delay[i]
    }
    columns.rows = origin.length
    await full.put(columns)
  }
}
full.close()
heap.close()
