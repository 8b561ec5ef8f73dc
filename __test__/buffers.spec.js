// Bytes of a heap: the same kind over shared memory, not copied.
import test from 'ava'
import { runInNewContext } from 'node:vm'
import { Heap, isShared, snapshot } from '../dist/index.js'

const heap = Heap.create()
test.after.always(() => heap.close())
const root = heap.root

const kinds = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
]

test('every kind of typed array is stored and comes back as its kind, over shared memory', (t) => {
  for (const C of kinds) {
    const of = C.name.startsWith('Big') ? [1n, 2n, 3n] : [1, 2, 3]
    root.v = C.from(of)
    t.is(Object.getPrototypeOf(root.v), C.prototype)
    t.deepEqual([...root.v], of)
    t.is(root.v, root.v)
    root.v[1] = of[2]
    t.is(root.v[1], of[2])
    t.true(isShared(root.v))
  }
})

test('ArrayBuffer, DataView and Buffer', (t) => {
  root.b = new Uint8Array([1, 2, 3]).buffer
  t.true(root.b instanceof ArrayBuffer)
  t.is(root.b.byteLength, 3)
  t.true(isShared(root.b))
  root.d = new DataView(new ArrayBuffer(8), 2, 4)
  root.d.setInt16(0, 300)
  t.is(root.d.getInt16(0), 300)
  t.is(root.d.byteOffset, 2)
  root.n = Buffer.from('text')
  t.true(Buffer.isBuffer(root.n))
  t.is(root.n.toString(), 'text')
  t.is(root.n.buffer.byteLength, 4)
  root.empty = new Float64Array(0)
  t.is(root.empty.length, 0)
})

test('views of one buffer in one value go on sharing it', (t) => {
  const buffer = new ArrayBuffer(16)
  root.pair = { bytes: new Uint8Array(buffer), words: new Uint32Array(buffer, 8, 2), buffer }
  t.is(root.pair.bytes.buffer, root.pair.words.buffer)
  t.is(root.pair.buffer, root.pair.bytes.buffer)
  root.pair.bytes[8] = 7
  t.is(root.pair.words[0], 7)
  t.is(root.pair.words.byteOffset, 8)
})

test('a view of shared bytes is stored as a view of the same bytes', (t) => {
  root.base = new Float64Array([1, 2, 3, 4])
  root.part = root.base.subarray(1, 3)
  t.deepEqual([...root.part], [2, 3])
  root.part[0] = 20
  t.is(root.base[1], 20)
  t.is(root.part.buffer, root.base.buffer)
  root.same = root.base
  t.is(root.same, root.base)
  root.raw = root.base.buffer
  t.is(root.raw, root.base.buffer)
  root.nodes = Buffer.from(root.base.buffer, 8, 8)
  t.is(root.nodes.readDoubleLE(0), 20)
})

test('alloc gives zeroed shared memory that is linked without a copy', (t) => {
  const a = heap.alloc(Float64Array, 1000)
  t.is(a.length, 1000)
  t.true(a.every((x) => x === 0))
  a[5] = 5
  root.alloc = a
  t.is(root.alloc, a)
  t.true(Buffer.isBuffer(heap.alloc(Buffer, 3)))
  t.throws(() => heap.alloc(Array, 3), { code: 'ERR_COHEAP_INVALID_ARGUMENT', instanceOf: TypeError })
  t.throws(() => heap.alloc(Uint8Array, -1), { code: 'ERR_COHEAP_INVALID_ARGUMENT', instanceOf: RangeError })
  t.throws(() => heap.alloc(Uint8Array, 1.5), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => heap.alloc(Uint8Array, '3'), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => heap.alloc(Uint8Array), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => heap.alloc(Uint8Array, 2 ** 33), { code: 'ERR_COHEAP_OUT_OF_MEMORY', instanceOf: RangeError })
})

test('a snapshot of bytes is a copy', (t) => {
  root.t = new Uint16Array([1, 2])
  const s = snapshot(root.t)
  t.deepEqual(s, new Uint16Array([1, 2]))
  t.false(isShared(s))
  s[0] = 9
  t.is(root.t[0], 1)
})

test("the language's Atomics work on shared typed arrays", (t) => {
  root.counter = new Int32Array(1)
  t.is(Atomics.add(root.counter, 0, 5), 0)
  t.is(root.counter[0], 5)
})

test('views of another context are stored as what they are', (t) => {
  const [view, list] = runInNewContext('[new DataView(new ArrayBuffer(8), 2), new Float64Array([1, 2])]')
  root.foreign = [view, list]
  t.is(root.foreign[0].byteLength, 6)
  t.true(root.foreign[0] instanceof DataView)
  t.deepEqual(root.foreign[1], new Float64Array([1, 2]))
  root.foreign = null
})

test('resizable buffers are stored at their present length', (t) => {
  const buffer = new ArrayBuffer(4, { maxByteLength: 100 })
  const view = new Uint8Array(buffer)
  buffer.resize(8)
  root.resized = view
  t.is(root.resized.length, 8)
  t.is(root.resized.buffer.byteLength, 8)
})
