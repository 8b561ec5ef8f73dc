// Reads the flights and puts them on the channel, in both kinds of batch:
//  - every eighth as frozen rows, which travel by value: whoever takes them frees them;
//  - the others as columns: typed arrays in the heap, filled in place and used again and again (`empty` brings them
//    back), which costs far less.
import { Heap } from 'coheap'
import { batches } from './data.mjs'

const [name, rows, size] = [process.argv[2], Number(process.argv[3]), Number(process.argv[4])]
const heap = Heap.open(name)
const full = heap.channel('full')
const empty = heap.channel('empty')
const codes = new Map()

let turn = 0
for await (const { origin, delay } of batches(size, rows)) {
  if (turn++ % 8 === 0) {
    await full.put(Object.freeze(origin.map((code, i) => Object.freeze([code, delay[i]]))))
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
