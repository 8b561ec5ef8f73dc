// Typed arrays are shared memory: several processes compute in place, and libraries that can work on given bytes, such as
// Apache Arrow and TensorFlow.js, work on the heap's own without a copy.
//   node examples/arrays-in-place.mjs            4 processes
//   node examples/arrays-in-place.mjs 8
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { Float64, Table, Utf8, makeData, makeVector } from 'apache-arrow'
import * as tf from '@tensorflow/tfjs-core'
import '@tensorflow/tfjs-backend-cpu'
import { Heap } from 'coheap'

// it would print an advertisement
tf.env().set('IS_TEST', true)

const N = 256

/** What a worker can be asked to do with what stands in the heap. */
const tasks = {
  setDiagonal({ cube }) {
    for (let i = 0; i < 10; i++) for (let k = 0; k < 3; k++) cube[(i * 10 + i) * 3 + k] = -1
  },
  // the rows from … to of the product: each process has its own, so nobody needs to wait for another
  multiply({ a, b, product }, { from, to }) {
    multiplyRows(a, b, product, from, to)
  },
  // a table and a tensor of its own, over the same bytes: what is written here is seen there
  raisePrices({ columns }) {
    const prices = tableOver(columns).getChild('price')
    for (let i = 0; i < prices.length; i++) prices.set(i, prices.get(i) * 2)
  },
  fillTensor({ weights }) {
    tensorOver(weights).dataSync().fill(0.5)
  },
}

const [first = '4', name] = process.argv.slice(2)

if (first === 'worker') {
  const heap = Heap.open(name)
  for await (const { task, part } of heap.channel('tasks')) {
    tasks[task](heap.root, part)
    await heap.channel('done').put(task)
  }
  heap.close()
} else await main(Number(first))

async function main(processes) {
  const heap = Heap.create()
  const { root } = heap
  const path = fileURLToPath(import.meta.url)
  const workers = Array.from({ length: processes }, () => fork(path, ['worker', heap.name]))
  /** Has the workers do a task, in as many parts; waits until all are done. */
  const ask = async (task, parts = [{}]) => {
    await heap.channel('tasks').putMany(parts.map((part) => ({ task, part })))
    for (let i = 0; i < parts.length; i++) await heap.channel('done').take()
  }

  // 10 × 10 × 3: one adds, the other sets the diagonal, the first multiplies
  root.cube = heap.alloc(Float64Array, 10 * 10 * 3)
  const { cube } = root
  for (let i = 0; i < cube.length; i++) cube[i] += 2.5
  await ask('setDiagonal')
  for (let i = 0; i < cube.length; i++) cube[i] *= 15
  const onDiagonal = (i) => Math.floor(i / 30) === Math.floor(i / 3) % 10
  assert.ok(cube.every((x, i) => x === (onDiagonal(i) ? -15 : 37.5)))
  console.log(`10 × 10 × 3: ${cube.filter((x) => x === -15).length} on the diagonal, the sum is ${sum(cube)}`)

  // a product of 256 × 256 matrices, split over all processes
  for (const matrix of ['a', 'b', 'product']) root[matrix] = heap.alloc(Float64Array, N * N)
  const { a, b, product } = root
  for (let i = 0; i < N * N; i++) [a[i], b[i]] = [Math.sin(i), Math.cos(i)]
  const rows = Math.ceil(N / processes)
  const parts = Array.from({ length: processes }, (_, i) => ({ from: i * rows, to: Math.min(N, (i + 1) * rows) }))
  await ask('multiply', parts)
  const plain = new Float64Array(N * N)
  multiplyRows(Float64Array.from(a), Float64Array.from(b), plain, 0, N)
  assert.ok(product.every((x, i) => x === plain[i]))
  console.log(`${N} × ${N}: the product of ${processes} processes is the plain one, bit for bit`)

  // an Arrow table over shared columns
  root.columns = columnsOf(heap, [['apple', 1.5], ['pear', 2.25], ['fig', 4]]) // prettier-ignore
  const table = tableOver(root.columns)
  await ask('raisePrices')
  assert.equal(table.getChild('price').data[0].values.buffer, root.columns.price.buffer)
  assert.deepEqual(table.toArray().map((row) => row.toJSON()), [
    { name: 'apple', price: 3 }, { name: 'pear', price: 4.5 }, { name: 'fig', price: 8 },
  ]) // prettier-ignore
  console.log(`Arrow: ${table.toArray().map(({ name, price }) => `${name} ${price}`).join(', ')}`) // prettier-ignore

  // a tensor over shared bytes
  root.weights = heap.alloc(Float32Array, 12)
  const tensor = tensorOver(root.weights)
  await ask('fillTensor')
  assert.equal(tensor.dataSync().buffer, root.weights.buffer)
  root.weights[0] = 10
  const [total] = tf.sum(tensor).dataSync()
  assert.equal(total, 15.5)
  console.log(`tensor: the sum is ${total}`)

  heap.channel('tasks').close()
  for (const [code] of await Promise.all(workers.map((w) => once(w, 'exit')))) assert.equal(code, 0)
  heap.close()
}

function sum(list) {
  return list.reduce((s, x) => s + x, 0)
}

function multiplyRows(a, b, product, from, to) {
  for (let i = from; i < to; i++) {
    for (let j = 0; j < N; j++) {
      let x = 0
      for (let k = 0; k < N; k++) x += a[i * N + k] * b[k * N + j]
      product[i * N + j] = x
    }
  }
}

/** Columns as Arrow lays them out, in the heap. */
function columnsOf(heap, rows) {
  const bytes = Buffer.from(rows.map(([name]) => name).join(''))
  const columns = {
    names: heap.alloc(Uint8Array, bytes.length),
    ends: heap.alloc(Int32Array, rows.length + 1),
    price: heap.alloc(Float64Array, rows.length),
  }
  columns.names.set(bytes)
  rows.forEach(([name, price], i) => {
    columns.ends[i + 1] = columns.ends[i] + Buffer.byteLength(name)
    columns.price[i] = price
  })
  return columns
}

function tableOver({ names, ends, price }) {
  const name = makeData({ type: new Utf8(), length: price.length, valueOffsets: ends, data: names })
  return new Table({
    name: makeVector(name),
    price: makeVector(makeData({ type: new Float64(), length: price.length, data: price })),
  })
}

function tensorOver(values) {
  return tf.tensor2d(values, [3, values.length / 3])
}
