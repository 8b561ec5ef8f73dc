// verify() of a heap that another process is changing.
import test from 'ava'
import { Heap } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

/** Changes everything that can be changed, for as long as the heap is not told to stop. */
function churn({ heap, root }, seed) {
  const channel = heap.channel('churn')
  let rounds = 0
  // nobody is left who could say stop, if the test is killed
  const end = Date.now() + 100_000
  while (!root.stop && Date.now() < end) {
    const i = rounds++ % 40
    root[`text${i}`] = 'x'.repeat((i * seed) % 300)
    root.list.push({ i, inner: [i, `${i}`] })
    if (root.list.length > 50) root.list.splice(0, 20)
    root.map.set(`k${(i * 7) % 60}`, { big: 2n ** BigInt(i + 60) })
    root.map.delete(`k${(i * 11) % 60}`)
    root.wide[`p${(i * 13) % 90}`] = new Float64Array(i + 1)
    delete root.wide[`p${(i * 17) % 90}`]
    channel.tryPut({ i })
    channel.tryTake()
    heap.transaction(() => {
      root.counter++
      root.last = { counter: root.counter, list: [root.counter] }
    })
  }
  return rounds
}

test('verify() finds nothing wrong while other processes write, nor when they have stopped', async (t) => {
  const heap = Heap.create()
  Object.assign(heap.root, { stop: false, counter: 0, list: [], map: new Map(), wide: {} })
  const writers = await Promise.all([puppet(heap.name), puppet(heap.name)])
  t.teardown(() => writers.forEach((writer) => writer.child.kill('SIGKILL')))
  const running = writers.map((writer, i) => writer.run(churn, i + 3))
  for (let look = 0; look < 500; look++) {
    const before = heap.root.counter
    t.deepEqual(heap.verify(), [])
    // the next look sees another state
    while (heap.root.counter === before) await new Promise((resolve) => setTimeout(resolve, 1))
  }
  heap.root.stop = true
  const rounds = await Promise.all(running)
  t.is(
    heap.root.counter,
    rounds.reduce((a, b) => a + b),
  )
  t.deepEqual(heap.verify(), [])
  await Promise.all(writers.map((writer) => writer.end()))
  heap.close()
})
