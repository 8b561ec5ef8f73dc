// Wrappers, handles and what they hold come back.
import test from 'ava'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Heap } from '../dist/index.js'

setFlagsFromString('--expose-gc')
const gc = runInNewContext('gc')
const turn = () => new Promise((resolve) => setImmediate(resolve))

test('wrappers die, and the same object gets a new one when it is read again', async (t) => {
  const heap = Heap.create()
  heap.root.list = Array.from({ length: 1000 }, (_, i) => ({ i }))
  heap.root.bytes = new Uint8Array(1000)
  let alive
  {
    const { list } = heap.root
    const refs = []
    for (let i = 0; i < 1000; i++) refs.push(new WeakRef(list[i]))
    refs.push(new WeakRef(heap.root.bytes))
    alive = () => refs.filter((r) => r.deref() !== undefined).length
  }
  for (let i = 0; i < 20 && alive() > 10; i++) {
    await turn()
    gc()
  }
  // each container keeps the child that was read last
  t.true(alive() <= 10, String(alive()))
  t.is(heap.root.list[500].i, 500)
  t.is(heap.root.list[500], heap.root.list[500])
  heap.close()
})

test('walking a large list again and again does not grow the process', async (t) => {
  const heap = Heap.create(undefined, { maxSize: '256MiB' })
  heap.root.list = Array.from({ length: 20_000 }, (_, i) => ({ i }))
  const { list } = heap.root
  const walk = async (times) => {
    for (let k = 0; k < times; k++) {
      let sum = 0
      for (const o of list) sum += o.i
      t.is(sum, 199_990_000)
      await turn()
    }
    gc()
    await turn()
    gc()
    return process.memoryUsage().heapUsed
  }
  const first = await walk(5)
  const later = await walk(20)
  t.true(later < first + 20e6, `${first} ${later}`)
  heap.close()
})

test('messages that were taken and dropped leave nothing behind but what only the collector finds', async (t) => {
  const heap = Heap.create(undefined, { maxSize: '64MiB' })
  const c = heap.channel('c')
  const batch = Array.from({ length: 100 }, (_, i) => Object.freeze({ i, text: 'a text of some length' }))
  const round = () => {
    c.tryPutMany(batch)
    for (const m of c.takeMany(100)) t.is(m.text.length, 21)
  }
  for (let i = 0; i < 20; i++) round()
  const { used } = heap.stats()
  for (let i = 0; i < 200; i++) round()
  t.true(heap.stats().used <= used + 100_000)
  heap.close()
})

test('objects far into a heap are read as those at its beginning are', (t) => {
  const MiB = 2 ** 20
  const heap = Heap.create(undefined, { maxSize: '512MiB' })
  const { root } = heap
  // what is read without crossing is seen through a window that grows: 32 MiB, 256 MiB, all of it
  const places = [0, 32 * MiB, 256 * MiB].map((from, i) => {
    if (from > 0) heap.alloc(Uint8Array, from)
    // what is free before that is used first
    for (;;) {
      root[`many${i}`] = Array.from({ length: 1000 }, () => ({ i, text: 'a text of a block' }))
      const one = root[`many${i}`][999]
      if (heap.ref(one).at < from) continue
      root[`list${i}`] = [one, i, 0.5]
      return { list: root[`list${i}`], one }
    }
  })
  for (let round = 0; round < 3; round++) {
    places.forEach(({ list, one }, i) => {
      t.is(one.i, i + round)
      t.is(one.text, 'a text of a block')
      t.is(list[0], one)
      t.deepEqual([list.at(1), list[2], list.length], [i, 0.5, 3])
      one.i++
    })
  }
  heap.close()
})
