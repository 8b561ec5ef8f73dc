// Values through the wire format and back, without a heap: a live member is a number in a table.
import test from 'ava'
import { Encoder } from '../dist/encode.js'
import { Decoder } from '../dist/decode.js'
import { Reader, Wire, Writer } from '../dist/wire.js'

const live = new Map()
const byHandle = new Map()
function share(o) {
  const h = live.size + 1
  live.set(o, h)
  byHandle.set(h, o)
  return o
}
const hooks = {
  handleOf: (v) => live.get(v) ?? 0,
  bufferHandle: () => 0,
  // shapes as a heap has them: the same keys, the same word
  shapeOf: (keys, info) => {
    hooks.asked++
    if (!hooks.shapes || info.prototype === null || keys.some((key) => /^\d/.test(key))) return 0
    const known = shapes.findIndex((shape) => shape.length === keys.length && shape.every((key, i) => key === keys[i]))
    return 100 + (known >= 0 ? known : shapes.push([...keys]) - 1)
  },
  shapes: false,
  asked: 0,
}
const shapes = []
function encoded(value) {
  const writer = new Writer((n) => new ArrayBuffer(Math.max(n, 16)))
  new Encoder(writer, hooks).encode(value)
  return writer.u8.buffer.slice(0, writer.pos)
}
function through(value) {
  const reader = new Reader()
  const bytes = encoded(value)
  reader.use(bytes, 0, bytes.byteLength)
  const result = new Decoder(
    reader,
    (h) => byHandle.get(h),
    undefined,
    (word) => {
      // asking a heap moves what is being read
      reader.detach()
      new Uint8Array(bytes).fill(255)
      return shapes[word - 100]
    },
  ).value()
  if (reader.pos !== bytes.byteLength) throw new Error('bytes left over')
  return result
}
function refusal(value) {
  try {
    encoded(value)
  } catch (error) {
    return error.code === 'ERR_COHEAP_UNSUPPORTED_TYPE' && error instanceof TypeError ? error.message : error
  }
  return undefined
}
const where = (value) => /: (\$.*)$/.exec(refusal(value))?.[1]

test('scalars come back exactly', (t) => {
  const scalars = [undefined, null, true, false, 0, 1, -1, 1.5, 2 ** 31, -(2 ** 31), 2 ** 53, Infinity, -Infinity]
  scalars.push('', 'abc', 'é', 'ÿ', 'Ā', '\ud800', 'a\udc00b', '💥', 'x'.repeat(100), 'Ω'.repeat(100), '\0')
  scalars.push(0n, 1n, -1n, 2n ** 64n, -(2n ** 64n) + 1n, 2n ** 63n, 12345678901234567890123456789n, 10n ** 200n)
  scalars.push(Symbol.for('key'), Symbol.for('Ω'))
  for (const s of scalars) t.is(through(s), s)
  t.true(Object.is(through(-0), -0))
  t.true(Object.is(through(NaN), NaN))
})

test('containers keep order, holes, names, null prototypes and odd keys', (t) => {
  const o = { b: 1, a: { c: [1, , 3] }, 7: 'x', [Symbol.for('s')]: 2 }
  t.deepEqual(through(o), o)
  t.deepEqual(Reflect.ownKeys(through(o)), Reflect.ownKeys(o))
  const sparse = []
  sparse[2 ** 32 - 2] = 'end'
  sparse.name = 'list'
  const back = through(sparse)
  t.is(back.length, 2 ** 32 - 1)
  t.is(back[2 ** 32 - 2], 'end')
  t.is(back.name, 'list')
  t.false(1 in through([1, , 3]))
  t.is(through([1, , ,]).length, 3)
  const bare = Object.create(null)
  bare.x = 1
  t.is(Object.getPrototypeOf(through(bare)), null)
  const proto = JSON.parse('{"__proto__": {"y": 1}}')
  const proto2 = through(proto)
  t.is(Object.getPrototypeOf(proto2), Object.prototype)
  t.deepEqual(Object.keys(proto2), ['__proto__'])
  t.deepEqual(
    through(
      new Map([
        [1, new Set(['a', null])],
        ['k', { v: 1n }],
      ]),
    ),
    new Map([
      [1, new Set(['a', null])],
      ['k', { v: 1n }],
    ]),
  )
})

test('cycles and aliases within one value are kept', (t) => {
  const a = { list: [] }
  a.self = a
  a.list.push(a, a.list)
  a.map = new Map([[a, a.list]])
  a.set = new Set([a])
  const b = through(a)
  t.is(b.self, b)
  t.is(b.list[0], b)
  t.is(b.list[1], b.list)
  t.is(b.map.get(b), b.list)
  t.true(b.set.has(b))
  const buffer = new Float64Array([1, 2, 3]).buffer
  const [x, y, z] = through([new Float64Array(buffer), new Uint8Array(buffer, 8, 4), buffer])
  t.is(x.buffer, y.buffer)
  t.is(x.buffer, z)
  t.is(y.byteOffset, 8)
  t.is(y.length, 4)
  t.deepEqual([...x], [1, 2, 3])
})

test('every kind of bytes comes back as its kind', (t) => {
  for (const C of [
    Int8Array,
    Uint8ClampedArray,
    Uint16Array,
    Int32Array,
    Float32Array,
    BigInt64Array,
    BigUint64Array,
  ]) {
    const big = C.name.startsWith('Big')
    const v = C.from(big ? [1n, 2n] : [1, 2])
    t.deepEqual(through(v), v)
  }
  const view = new DataView(new ArrayBuffer(8), 2, 4)
  view.setInt16(0, 513)
  t.is(through(view).getInt16(0), 513)
  t.is(through(view).byteLength, 4)
  const pooled = Buffer.from('pooled')
  const b = through(pooled)
  t.true(Buffer.isBuffer(b))
  t.is(b.toString(), 'pooled')
  t.is(b.buffer.byteLength, 6)
})

test('by-value kinds come back as their kind', (t) => {
  t.deepEqual(through(new Date(5)), new Date(5))
  t.true(Number.isNaN(through(new Date(NaN)).getTime()))
  const re = /a\/b/giu
  re.lastIndex = 3
  t.deepEqual(through(re), /a\/b/giu)
  t.is(through(re).lastIndex, 0)
  t.is(through(new URL('http://a.b/c?d#e')).href, 'http://a.b/c?d#e')
  for (const p of [1, 'x', true, 1n, Symbol.for('b')]) {
    const o = through(Object(p))
    t.is(typeof o, 'object')
    t.is(o.valueOf(), p)
  }
})

test('errors keep kind, name, message, stack, cause, errors and own properties', (t) => {
  class HttpError extends RangeError {
    constructor(m) {
      super(m, { cause: new TypeError('why') })
      this.name = 'HttpError'
      this.status = 500
      this.code = 'E'
    }
  }
  const e = new HttpError('bad')
  const d = through(e)
  t.true(d instanceof RangeError)
  t.is(Object.getPrototypeOf(d), RangeError.prototype)
  t.is(d.name, 'HttpError')
  t.is(d.message, 'bad')
  t.is(d.stack, e.stack)
  t.is(d.status, 500)
  t.is(d.code, 'E')
  t.true(d.cause instanceof TypeError)
  t.is(d.cause.message, 'why')
  t.false(Object.keys(d).includes('message'))
  const many = through(new AggregateError([new Error('1'), 2], 'all'))
  t.true(many instanceof AggregateError)
  t.is(many.errors[0].message, '1')
  t.is(many.errors[1], 2)
  t.false(Object.isFrozen(many.errors))
  const loop = new Error('loop')
  loop.cause = loop
  const l = through(loop)
  t.is(l.cause, l)
  t.false(Object.hasOwn(through(new Error('x')), 'cause'))
  t.is(through(new DOMException('m', 'AbortError')).name, 'AbortError')
})

test('frozen values are frozen and their live members live', (t) => {
  const account = share({ id: 1 })
  const rows = Object.freeze([Object.freeze({ a: 1, b: 'x' }), Object.freeze({ a: 2, b: account })])
  const back = through(rows)
  t.true(Object.isFrozen(back) && Object.isFrozen(back[1]))
  t.is(back[1].b, account)
  t.deepEqual(back[0], { a: 1, b: 'x' })
  const mutable = { n: 1 }
  const holder = { f: Object.freeze({ mutable, again: mutable }), mutable }
  const h = through(holder)
  t.true(Object.isFrozen(h.f))
  t.is(h.f.mutable, h.mutable)
  t.is(h.f.again, h.mutable)
  const a = { b: null }
  const b = { a }
  a.b = b
  Object.freeze(a)
  Object.freeze(b)
  const c = through(a)
  t.is(c.b.a, c)
  const m = {}
  const f = Object.freeze({ m })
  m.f = f
  const g = through(f)
  t.is(g.m.f.m, g.m)
  t.true(Object.isFrozen(through(Object.freeze([]))))
})

test('many frozen rows with the same keys say their keys once', (t) => {
  const rows = Object.freeze(
    Array.from({ length: 100 }, (_, i) => Object.freeze({ origin: 'SFO', delay: i, late: true })),
  )
  t.true(encoded(rows).byteLength < 100 * 32)
  t.deepEqual(through(rows), rows)
})

test('frozen objects inside of those with the same keys', (t) => {
  const { freeze } = Object
  const leaf = (v) => freeze({ left: null, right: null, v })
  const tree = freeze({ left: freeze({ left: leaf(1), right: leaf(3), v: 2 }), right: leaf(5), v: 4 })
  const values = [
    tree,
    [tree, tree],
    new Error('x', { cause: tree }),
    freeze([leaf(0), freeze({ w: leaf(1) }), leaf(2)]),
  ]
  for (const value of values) t.deepEqual(through(value), value)
})

test('what cannot be stored is named with its place', (t) => {
  t.is(
    where(() => 1),
    '$',
  )
  t.is(where({ jobs: [0, 1, 2, { onDone() {} }] }), '$.jobs[3].onDone')
  t.is(where({ 'odd key': Symbol('s') }), '$["odd key"]')
  t.is(where(new Map([['k', Symbol('s')]])), '$.get("k")')
  t.is(where(new Map([[1, Symbol('s')]])), '$.get(1)')
  t.is(
    where(
      new Map([
        [{}, 1],
        ['a', 2],
        [Symbol('k'), 3],
      ]),
    ),
    '$.keys()[2]',
  )
  t.is(where(new Map([[{}, Symbol('v')]])), '$.values()[0]')
  t.is(where(new Set([1, 2, () => 1])), '$.values()[2]')
  t.is(where(new Error('x', { cause: { f() {} } })), '$.cause.f')
  t.is(where(new AggregateError([() => 1])), '$.errors[0]')
  t.is(where({ a: Object.freeze({ b: { c: [() => 1] } }) }), '$.a.b.c[0]')
  t.is(where({ a: Object.freeze({ b: Object.freeze([1, () => 1]) }) }), '$.a.b[1]')
  t.is(
    where({
      get x() {
        return 1
      },
    }),
    '$.x',
  )
  t.is(where(Object.defineProperty([], 0, { get: () => 1 })), '$[0]')
  t.is(where({ a: { [Symbol('k')]: 1 } }), '$.a[Symbol(k)]')
  t.is(where([{ p: Promise.resolve() }]), '$[0].p')
})

test('each kind that is refused is refused', async (t) => {
  class Point {}
  class List extends Array {}
  class Dict extends Map {}
  class When extends Date {}
  class Bytes extends Uint8Array {}
  const detached = new ArrayBuffer(8)
  structuredClone(detached, { transfer: [detached] })
  const detachedView = new Uint8Array(8)
  structuredClone(detachedView.buffer, { transfer: [detachedView.buffer] })
  const refused = [() => 1, Symbol('x'), new WeakMap(), new WeakSet(), new WeakRef({}), Promise.resolve(), new Blob([])]
  refused.push(new URLSearchParams(), new SharedArrayBuffer(8), new Uint8Array(new SharedArrayBuffer(8)))
  refused.push(
    await import('node:fs'),
    new Point(),
    new List(),
    new Dict(),
    new When(),
    new Bytes(),
    Object.create({ a: 1 }),
  )
  refused.push(
    detached,
    detachedView,
    (function* () {})(),
    new Intl.NumberFormat(),
    Object(Symbol('x')),
    new Proxy(() => 1, {}),
  )
  refused.push(Object.freeze(new Point()), globalThis, new AbortController().signal, new Proxy(new Map(), {}))
  for (const v of refused) t.regex(String(refusal(v)), /cannot be stored: \$$/)
})

test('non-enumerable properties are left out', (t) => {
  const o = Object.defineProperty({ a: 1 }, 'hidden', { value: () => 1 })
  Object.defineProperty(o, Symbol('x'), { value: 1 })
  t.deepEqual(through(o), { a: 1 })
})

test('a Proxy of the user is read through its traps, and what they throw is thrown', (t) => {
  const p = new Proxy(
    { a: 1 },
    {
      ownKeys: () => ['a', 'b'],
      getOwnPropertyDescriptor: (_, k) => ({ value: k + '!', enumerable: true, configurable: true }),
    },
  )
  t.deepEqual(through(p), { a: 'a!', b: 'b!' })
  t.deepEqual(through(new Proxy([1, 2], {})), [1, 2])
  const boom = new Error('boom')
  const q = new Proxy(
    {},
    {
      ownKeys: () => {
        throw boom
      },
    },
  )
  t.is(refusal({ q }), boom)
})

test('200,000 levels deep do not overflow the stack', (t) => {
  let o = null
  for (let i = 0; i < 200_000; i++) o = i % 3 === 0 ? [o] : i % 3 === 1 ? { o } : new Map([[i, o]])
  let b = through(o)
  let depth = 0
  while (b !== null) {
    depth++
    b = Array.isArray(b) ? b[0] : b instanceof Map ? [...b.values()][0] : b.o
  }
  t.is(depth, 200_000)
  let f = null
  for (let i = 0; i < 20_000; i++) f = i % 2 === 0 ? Object.freeze({ f }) : { f }
  let g = through(f)
  for (depth = 0; g !== null; depth++) g = g.f
  t.is(depth, 20_000)
  let e = new Error('0')
  for (let i = 0; i < 5000; i++) e = new Error('x', { cause: e })
  let d = through(e)
  for (depth = 0; d.cause !== undefined; depth++) d = d.cause
  t.is(depth, 5000)
})

test('objects of another context are what they are here', async (t) => {
  const { runInNewContext } = await import('node:vm')
  t.deepEqual(
    through(runInNewContext('({ a: [1, new Map([[1, new Set([2])]]), new Date(3), new Uint8Array([4])] })')),
    {
      a: [1, new Map([[1, new Set([2])]]), new Date(3), new Uint8Array([4])],
    },
  )
})

test('errors of another context are of their kind here', async (t) => {
  const { runInNewContext } = await import('node:vm')
  for (const Class of [Error, TypeError, RangeError, URIError, AggregateError]) {
    const error = through(runInNewContext(`new ${Class.name}(${Class === AggregateError ? '[1], ' : ''}'there')`))
    t.is(Object.getPrototypeOf(error), Class.prototype)
    t.is(error.message, 'there')
    t.false(Object.hasOwn(error, 'name'))
  }
  class RangeErrorOfItsOwn extends Error {
    static name = 'RangeError'
  }
  t.is(Object.getPrototypeOf(through(new RangeErrorOfItsOwn('x'))), Error.prototype)
  const derived = runInNewContext("class Mine extends TypeError {}; new Mine('x')")
  t.is(Object.getPrototypeOf(through(derived)), TypeError.prototype)
})

/** Runs `body` with an encoder that is told shapes. */
function withShapes(body) {
  hooks.shapes = true
  try {
    body()
  } finally {
    hooks.shapes = false
  }
}
const freeze = Object.freeze

test('frozen objects of simple members: the keys stand in a shape', (t) => {
  withShapes(() => {
    const members = { n: 1, d: -0, s: 'a small object', u: '\ud800Ω', t: true, f: false, z: null, v: undefined, e: '' }
    for (const o of [
      {},
      { a: 1 },
      members,
      Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`k${i}`, i / 2])),
    ]) {
      const bytes = Buffer.from(encoded(freeze({ ...o })))
      t.is(bytes[0], Wire.PACKED)
      t.is(bytes[10], Wire.FLAT)
      const back = through(freeze({ ...o }))
      t.deepEqual(back, o)
      t.deepEqual(Object.keys(back), Object.keys(o))
      t.true(Object.isFrozen(back))
      t.throws(() => (back.a = 2), { code: 'ERR_COHEAP_READ_ONLY' })
    }
    t.true(Object.is(through(freeze({ d: -0 })).d, -0))
    for (const n of [1, 12, 13, 14, 15, 16, 17, 33]) {
      const s = Array.from({ length: n }, (_, i) => String.fromCharCode(200 + i)).join('')
      t.is(through(freeze({ s })).s, s)
    }
  })
})

test('frozen objects that are not flat, and those of other keys in between', (t) => {
  withShapes(() => {
    const proto = freeze(JSON.parse('{"__proto__": 5, "a": 1}'))
    const back = through(proto)
    t.deepEqual(Reflect.ownKeys(back), ['__proto__', 'a'])
    t.is(Object.getOwnPropertyDescriptor(back, '__proto__').value, 5)
    t.is(Object.getPrototypeOf(back), Object.prototype)
    t.deepEqual(through(freeze({ 7: 1, b: 2 })), { 7: 1, b: 2 })
    const symbol = Symbol.for('s')
    t.is(through(freeze({ a: 1, [symbol]: 2 }))[symbol], 2)
    t.is(where(freeze({ a: 1, [Symbol('own')]: 2 })), '$[Symbol(own)]')
    t.is(where(freeze({ a: 1, get b() { throw new Error('a getter was called') } })), '$.b') // prettier-ignore
    t.is(where(freeze({ a: 1, set b(_) {} })), '$.b')
    t.deepEqual(through(freeze(Object.defineProperty({ a: 1 }, 'hidden', { value: 2 }))), { a: 1 })
    const member = share({ live: true })
    const deep = through(freeze({ a: freeze([1, , freeze({ b: freeze({ member }) })]), c: freeze({ x: 1 }) }))
    t.is(deep.a[2].b.member, member)
    t.false(1 in deep.a)
    t.true([deep, deep.a, deep.a[2], deep.a[2].b, deep.c].every(Object.isFrozen))
    t.is(Object.getPrototypeOf(through(freeze(Object.create(null)))), null)
    t.is(where(freeze({ a: 1, b: () => {} })), '$.b')
    let traps = 0
    const proxy = new Proxy(freeze({ a: 1 }), { ownKeys: (o) => (traps++, Reflect.ownKeys(o)) })
    t.deepEqual(through(proxy), { a: 1 })
    t.true(traps > 0)
  })
})

test('the shape is asked for once in a run of like objects, and names the right keys after another', (t) => {
  withShapes(() => {
    const writer = new Writer((n) => new ArrayBuffer(Math.max(n, 16)))
    const sut = new Encoder(writer, hooks)
    hooks.asked = 0
    const run = [1, 2, 3].map((a) => freeze({ a, b: 'x' }))
    // keys of the same lengths and letters, which a cache by their bytes would mix up
    const all = [...run, freeze({ ba: 1, ab: 2 }), freeze({ ab: 1, ba: 2 }), freeze({ ba: 3, ab: 4 }), ...run]
    for (const o of all) {
      sut.encode(o)
      sut.reset()
    }
    t.is(hooks.asked, 5)
    const reader = new Reader()
    reader.use(writer.u8.buffer.slice(0, writer.pos), 0, writer.pos)
    const decoder = new Decoder(reader, undefined, undefined, (word) => shapes[word - 100])
    const back = all.map(() => decoder.value())
    t.deepEqual(back, all)
    t.deepEqual(back.map(Object.keys), all.map(Object.keys))
  })
})

test('flat objects of no such shape, or of another number of keys, are refused', (t) => {
  withShapes(() => {
    const bytes = encoded(freeze({ p: 1, q: 2 }))
    const read = (keys) => {
      const reader = new Reader()
      reader.use(bytes, 0, bytes.byteLength)
      return () => new Decoder(reader, undefined, undefined, () => keys).value()
    }
    t.deepEqual(read(['p', 'q'])(), { p: 1, q: 2 })
    t.throws(read(undefined), { code: 'ERR_COHEAP_CORRUPT' })
    t.throws(read(['p']), { code: 'ERR_COHEAP_CORRUPT' })
    t.throws(read(['p', 'q', 'r']), { code: 'ERR_COHEAP_CORRUPT' })
  })
})

test('keys that fall on the same place of the cache of names stay apart', (t) => {
  // equal in length, first, middle and last character, which is all that names the place
  const names = ['axbyc', 'aybxc', 'azbzc', 'a\u00e9b\u00e9c']
  const rows = names.map((name, i) => freeze({ [name]: i, [names[(i + 1) % 4]]: -i, next: freeze({ [name]: 'x' }) }))
  for (let round = 0; round < 3; round++) t.deepEqual(through(freeze([...rows, ...rows])), [...rows, ...rows])
})
