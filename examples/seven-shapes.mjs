// 7,000 messages of seven shapes, from a number to a Map of nested lists, then null for the end. All are taken, equal to
// what was put, in the order in which they were put. Of the shapes that are by value nothing stays in the heap.
//   node examples/seven-shapes.mjs
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { Heap, snapshot } from 'coheap'

const EACH = 1_000
const BY_VALUE = [() => 1, () => 2, () => Object.freeze([1, 2])]
const SHAPES = [
  ...BY_VALUE,
  () => [1, 2],
  () => [1, [2, 3]],
  () => new Map([[1, 1], [2, 2]]), // prettier-ignore
  () => new Map([[1, [1, [2, 3]]], [2, [[4], [5, [6]]]]]), // prettier-ignore
]

const [role, name] = process.argv.slice(2)

if (role === 'producer') {
  const heap = Heap.open(name)
  const channel = heap.channel('shapes')
  for (const shapes of [SHAPES, BY_VALUE]) {
    for (let i = 0; i < EACH; i++) for (const make of shapes) await channel.put(make())
    await channel.put(null)
    // not before the other one is ready
    await heap.channel('go').take()
  }
  heap.close()
} else {
  const heap = Heap.create()
  // bounded, so that whoever is slower decides on the pace
  const channel = heap.channel('shapes', { capacity: 64 })
  const go = heap.channel('go')
  const producer = fork(fileURLToPath(import.meta.url), ['producer', heap.name])
  const gone = once(producer, 'exit')
  const taken = await takeAll(channel, SHAPES)
  const before = heap.stats().used
  await go.put('go on')
  const byValue = await takeAll(channel, BY_VALUE)
  const more = heap.stats().used - before
  await go.put('done')
  const [code] = await gone

  assert.equal(code, 0)
  assert.equal(channel.length, 0)
  console.log(`${taken} messages of ${SHAPES.length} shapes, all equal, in order`)
  console.log(`${byValue} more of ${BY_VALUE.length} shapes by value: ${more} bytes more in use`)
  heap.close()
}

/** Takes until null; gives the number of messages before it. */
async function takeAll(channel, shapes) {
  for (let n = 0; ; n++) {
    const message = await channel.take()
    if (message === null) return n
    const expected = shapes[n % shapes.length]()
    assert.deepEqual(snapshot(message), expected)
    assert.equal(Object.isFrozen(message), Object.isFrozen(expected))
  }
}
