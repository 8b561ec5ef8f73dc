// Libraries that work on bytes which are given to them work on the heap's, without a copy: what one side writes, the
// other reads.
import test from 'ava'
import * as arrow from 'apache-arrow'
import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-cpu'
import { Heap, isShared } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

tf.env().set('IS_TEST', true) // it would print an advertisement
const heap = Heap.create()
const { root } = heap
const peer = await puppet(heap.name)
await peer.run(
  async ({ keep }, arrow, tf, cpu) => {
    keep.arrow = await import(arrow)
    keep.tf = await import(tf)
    keep.tf.env().set('IS_TEST', true)
    await import(cpu)
  },
  ...['apache-arrow', '@tensorflow/tfjs-core', '@tensorflow/tfjs-backend-cpu'].map((name) => import.meta.resolve(name)),
)
test.after.always(async () => {
  await peer.end()
  heap.close()
})

test.serial('a column of an Arrow table is the shared array itself', async (t) => {
  const prices = (root.prices = heap.alloc(Float64Array, 1000))
  const data = arrow.makeData({ type: new arrow.Float64(), length: 1000, data: prices })
  const table = new arrow.Table({ price: arrow.makeVector(data) })
  t.is(table.getChild('price').data[0].values, root.prices)
  await peer.run(({ root, keep: { arrow } }) => {
    const data = arrow.makeData({ type: new arrow.Float64(), length: 1000, data: root.prices })
    const column = new arrow.Table({ price: arrow.makeVector(data) }).getChild('price')
    for (let i = 0; i < 1000; i++) column.set(i, i / 4)
  })
  t.is(table.get(999).price, 249.75)
  prices[1] = -1
  t.is(table.get(1).price, -1)
  t.is(await peer.run(({ root }) => root.prices[1]), -1)
})

test.serial(
  'an Arrow table of texts, dictionaries and nulls is read from its bytes in the heap, in place',
  async (t) => {
    const table = arrow.tableFromArrays({
      city: ['Berlin', null, 'Łódź', 'Berlin'],
      n: Int32Array.of(1, 2, 3, 4),
      big: BigInt64Array.of(1n, -1n, 2n ** 62n, 0n),
    })
    root.table = arrow.tableToIPC(table)
    const here = arrow.tableFromIPC(root.table)
    t.deepEqual(here.toArray().map(String), table.toArray().map(String))
    const column = here.getChild('n').data[0].values
    t.is(column.buffer, root.table.buffer)
    t.true(isShared(column.buffer))
    const theirs = await peer.run(({ root, keep: { arrow } }) => {
      const table = arrow.tableFromIPC(root.table)
      table.getChild('n').data[0].values[2] = 300
      return table.toArray().map(String)
    })
    t.is(column[2], 300)
    t.is(here.get(2).n, 300)
    t.deepEqual(theirs, here.toArray().map(String))
  },
)

test.serial('a tensor is over the shared array itself', async (t) => {
  const weights = (root.weights = heap.alloc(Float32Array, 6))
  const tensor = tf.tensor2d(weights, [2, 3])
  t.is(tensor.dataSync(), weights)
  await peer.run(({ root, keep: { tf } }) => {
    const theirs = tf.tensor2d(root.weights, [3, 2])
    theirs.dataSync().set([1, 2, 3, 4, 5, 6])
  })
  t.deepEqual(tensor.arraySync(), [
    [1, 2, 3],
    [4, 5, 6],
  ])
  weights[0] = 10
  t.is(tf.sum(tensor).dataSync()[0], 30)
  // the product of both processes' views, stored for the other one
  root.product = tf.matMul(tensor, tf.transpose(tensor)).dataSync()
  t.deepEqual(await peer.run(({ root }) => [...root.product]), [113, 68, 68, 77])
})

test.serial('alloc: bytes that are filled before anybody else sees them, then linked without a copy', async (t) => {
  const image = heap.alloc(Uint8Array, 30_000)
  t.true(image.every((byte) => byte === 0))
  image.fill(7)
  heap.channel('images').tryPut(image)
  const used = heap.stats().used
  const there = await peer.run(({ heap, keep }) => {
    keep.image = heap.channel('images').tryTake()
    keep.image[1] = 8
    return [keep.image.length, keep.image.reduce((s, x) => s + x)]
  })
  t.deepEqual(there, [30_000, 210_001])
  t.is(image[1], 8)
  image[2] = 9
  t.is(await peer.run(({ keep }) => keep.image[2]), 9)
  t.true(heap.stats().used - used < 30_000)
})
