// Two processes count 20,000 times each: in transactions, without them (which must lose updates, or this would
// prove nothing), and with one atomic transaction per addition on a Map entry.
//   node examples/counters.mjs
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { Heap } from 'coheap'

const TURNS = 20_000
const [mode, name] = process.argv.slice(2)

if (mode === undefined) {
  const safe = await run('transactions')
  assert.deepEqual(safe, { count: 40_000, counter: 40_000, sum: 800_020_000 })
  console.log('with transactions:   ', safe)
  let unsafe
  let tries = 0
  // on a machine so busy that the two never run at the same moment nothing is lost: try again
  do unsafe = await run('nothing')
  while (unsafe.counter === 40_000 && ++tries < 20)
  assert.ok(unsafe.counter < 40_000, 'two processes without transactions must lose updates')
  console.log('without transactions:', unsafe, '– updates were lost, as they must be')
} else {
  const heap = Heap.open(name)
  const { root } = heap
  const step = () => {
    root.counter += 1
    root.sum += root.counter
    root.count = root.counter
  }
  // both begin at the same moment
  root[`ready${process.pid}`] = true
  while (Object.keys(root).filter((key) => key.startsWith('ready')).length < 2);
  for (let i = 0; i < TURNS; i++) {
    if (mode === 'transactions') heap.transaction(step)
    else step()
  }
  heap.close()
}

async function run(mode) {
  const heap = Heap.create()
  Object.assign(heap.root, { counter: 0, sum: 0, count: 0 })
  const children = [0, 1].map(() => fork(fileURLToPath(import.meta.url), [mode, heap.name]))
  for (const [code] of await Promise.all(children.map((child) => once(child, 'exit')))) assert.equal(code, 0)
  const { counter, sum, count } = heap.root
  heap.close()
  return { count, counter, sum }
}
