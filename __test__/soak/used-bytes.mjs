// Ten million overwrites of strings, growths of an array and rehashes of a map: the used bytes end where they were
// after the first thousand.   npm run soak
import assert from 'node:assert/strict'
import { Heap } from 'coheap'

const STEPS = Number(process.argv[2] ?? 10_000_000)
const heap = Heap.create()
const { root } = heap
Object.assign(root, { text: '', list: [], map: new Map(), object: {} })

function step(i) {
  root.text = 'a string that does not fit into a cell'.padEnd(40 + (i % 50), 'x')
  if (i % 3 === 0) {
    root.list.push(i, `another string ${i % 7}`)
    if (root.list.length > 300) root.list.length = 0
  } else if (i % 3 === 1) {
    root.map.set(`key ${i % 500}`, `the value ${i % 11}`)
    if (root.map.size >= 400) root.map.clear()
  } else {
    root.object[`p${i % 10}`] = `some text ${i % 13}`
  }
}

function settle() {
  root.text = ''
  root.list.length = 0
  root.map.clear()
  for (const key of Object.keys(root.object)) root.object[key] = 0
}

for (let i = 0; i < 1000; i++) step(i)
settle()
const before = heap.stats().used
for (let i = 0; i < STEPS; i++) step(i)
settle()
const after = heap.stats().used
console.log(`${STEPS} steps: ${before} bytes used before, ${after} after`)
assert.equal(after, before)
assert.deepEqual(heap.verify(), [])
heap.close()
