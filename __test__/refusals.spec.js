// What cannot be stored, in every place of a value, by every way of storing: each names its place, and leaves nothing.
import { inspect } from 'node:util'
import * as namespace from 'node:path'
import test from 'ava'
import { Heap, register, registerCodec } from '../dist/index.js'

class Known {
  constructor(x) {
    this.x = x
  }
}
class Unknown {}
class Coded {
  constructor(x) {
    this.x = x
  }
}
register(Known)
registerCodec(Coded, { name: 'Coded', encode: ({ x }) => ({ inner: [x] }), decode: ({ inner: [x] }) => new Coded(x) })

/** Makes one without its bytes: they have gone elsewhere. */
function detached(view) {
  const buffer = ArrayBuffer.isView(view) ? view.buffer : view
  structuredClone(buffer, { transfer: [buffer] })
  return view
}
function revoked(target) {
  const { proxy, revoke } = Proxy.revocable(target, {})
  revoke()
  return proxy
}
/** A view of bytes that its resizable buffer no longer has. */
function outOfBounds(View) {
  const buffer = new ArrayBuffer(16, { maxByteLength: 32 })
  const view = new View(buffer, 8, 1)
  buffer.resize(4)
  return view
}

/** [what, make, the place within it]. */
const REFUSED = [
  ['a function', () => () => 1],
  ['a class', () => class {}],
  ['a Proxy of a function', () => new Proxy(() => 1, {})],
  ['a symbol of its own', () => Symbol('own')],
  ['a well-known symbol', () => Symbol.iterator],
  ['a boxed symbol', () => Object(Symbol('own'))],
  ['a symbol as a key', () => ({ a: 1, [Symbol('key')]: 2 }), '[Symbol(key)]'],
  ['a symbol as a key of an array', () => Object.assign([1], { [Symbol('key')]: 2 }), '[Symbol(key)]'],
  ['a getter', () => ({ get x() { throw new Error('a getter was called') } }), '.x'], // prettier-ignore
  ['a setter', () => ({ a: 1, set x(_) {} }), '.x'],
  ['a getter in an array', () => Object.defineProperty([1, 2], 1, { get: () => 1, enumerable: true }), '[1]'],
  ['a getter of a frozen object', () => Object.freeze({ get x() { throw new Error('a getter was called') } }), '.x'], // prettier-ignore
  ['a getter of an instance', () => Object.defineProperty(new Known(1), 'y', { get: () => 1, enumerable: true }), '.y'],
  ['a getter of an Error', () => Object.defineProperty(new Error('e'), 'y', { get: () => 1, enumerable: true }), '.y'],
  ['WeakMap', () => new WeakMap()],
  ['WeakSet', () => new WeakSet()],
  ['WeakRef', () => new WeakRef({})],
  ['FinalizationRegistry', () => new FinalizationRegistry(() => {})],
  ['Promise', () => Promise.resolve()],
  ['Blob', () => new Blob([])],
  ['URLSearchParams', () => new URLSearchParams()],
  ['AbortSignal', () => AbortSignal.abort()],
  ['Intl', () => new Intl.NumberFormat()],
  ['SharedArrayBuffer', () => new SharedArrayBuffer(8)],
  ['a view of a SharedArrayBuffer', () => new Uint8Array(new SharedArrayBuffer(8))],
  ['a DataView of a SharedArrayBuffer', () => new DataView(new SharedArrayBuffer(8))],
  ['a Buffer of a SharedArrayBuffer', () => Buffer.from(new SharedArrayBuffer(8))],
  ['a module namespace', () => namespace],
  ['a generator', () => (function* () {})()],
  ['an iterator', () => [][Symbol.iterator]()],
  ['a Proxy of a Map', () => new Proxy(new Map(), {})],
  ['a Proxy of a Date', () => new Proxy(new Date(), {})],
  ['a revoked Proxy', () => revoked({})],
  ['a revoked Proxy of an array', () => revoked([])],
  ['a revoked Proxy of a function', () => revoked(() => 1)],
  ['an instance of an unknown class', () => new Unknown()],
  ['a frozen instance of an unknown class', () => Object.freeze(new Unknown())],
  ['a subclass of a known class', () => new (class Sub extends Known {})(1)],
  ['a subclass of Array', () => new (class List extends Array {})()],
  ['a subclass of Map', () => new (class Dict extends Map {})()],
  ['a subclass of Set', () => new (class Bag extends Set {})()],
  ['a subclass of Date', () => new (class When extends Date {})()],
  ['a subclass of RegExp', () => new (class Pattern extends RegExp {})('x')],
  ['a subclass of Uint8Array', () => new (class Bytes extends Uint8Array {})(1)],
  ['a subclass of ArrayBuffer', () => new (class Block extends ArrayBuffer {})(1)],
  ['a subclass of URL', () => new (class Address extends URL {})('http://a.b')],
  ['Object.create', () => Object.create({ inherited: 1 })],
  ['globalThis', () => globalThis],
  ['a detached ArrayBuffer', () => detached(new ArrayBuffer(8))],
  ['a detached typed array', () => detached(new Float64Array(2))],
  ['a detached DataView', () => detached(new DataView(new ArrayBuffer(8)))],
  ['a detached Buffer', () => detached(Buffer.from(new ArrayBuffer(8)))],
  ['a typed array out of bounds', () => outOfBounds(Uint8Array)],
  ['a DataView out of bounds', () => outOfBounds(DataView)],
]

/** [the place, what holds the value there]. */
const PLACES = [
  ['', (v) => v],
  ['.a', (v) => ({ ok: 1, a: v })],
  ['.jobs[3].onDone', (v) => ({ jobs: [0, 1, 2, { onDone: v }] })],
  ['["odd key"]', (v) => ({ 'odd key': v })],
  ['["a\\"b"].c', (v) => ({ 'a"b': { c: v } })],
  ['[7]', (v) => ({ 7: v })],
  ['.bare', (v) => Object.assign(Object.create(null), { bare: v })],
  ['[Symbol(known)]', (v) => ({ [Symbol.for('known')]: v })],
  ['[2]', (v) => [{ text: 'a text of more than a cell' }, , v]],
  ['[100001]', (v) => Object.assign([], { 100001: v })],
  ['.named', (v) => Object.assign([1], { named: v })],
  ['.get("k")', (v) => new Map([['j', 1], ['k', v]])], // prettier-ignore
  ['.get(5).x', (v) => new Map([[5, { x: v }]])],
  ['.get(7n)', (v) => new Map([[7n, v]])],
  ['.get(null)', (v) => new Map([[null, v]])],
  ['.keys()[2]', (v) => new Map([['a', 1], [2, 2], [v, 3]])], // prettier-ignore
  ['.keys()[0].in', (v) => new Map([[{ in: v }, 1]])],
  ['.values()[1]', (v) => new Map([['a', 1], [{}, v]])], // prettier-ignore
  ['.values()[2]', (v) => new Set([1, 'b', v])],
  ['.cause', (v) => new Error('e', { cause: v })],
  ['.cause.cause.deep', (v) => new Error('e', { cause: new TypeError('f', { cause: { deep: v } }) })],
  ['.errors[1]', (v) => new AggregateError([1, v], 'e')],
  ['.errors[0].detail', (v) => new AggregateError([Object.assign(new Error('e'), { detail: v })])],
  ['.f.b', (v) => ({ f: Object.freeze({ a: 1, b: v }) })],
  ['[1][0].m.x', (v) => Object.freeze([0, Object.freeze([{ m: new Known(v) }])])],
  ['.x', (v) => new Known(v)],
  [`${'.n[0]'.repeat(500)}.end`, (v) => { let o = { end: v }; for (let i = 0; i < 500; i++) o = { n: [o] }; return o }], // prettier-ignore
]

const heap = Heap.create(undefined, { maxSize: '64MiB' })
test.after.always(() => heap.close())
const { root } = heap
root.object = { old: 1 }
root.known = new Known('before')
root.list = [1, 'two', { three: 3 }]
root.map = new Map([['k', 'v']])
root.set = new Set(['member'])
const channel = heap.channel('messages')
channel.tryPut('before')

/** [the way, the attempt to store, true if it waits]. */
const WAYS = {
  'a new property': (v) => (root.fresh = v),
  'a property that exists': (v) => (root.object.old = v),
  'a property of an instance': (v) => (root.known.x = v),
  'Reflect.set': (v) => Reflect.set(root.object, 'old', v),
  'Object.defineProperty': (v) =>
    Object.defineProperty(root.object, 'fresh', { value: v, writable: true, enumerable: true, configurable: true }),
  'Object.assign': (v) => Object.assign(root.object, { fresh: v }),
  push: (v) => root.list.push(v),
  'push of several': (v) => root.list.push(1, { fine: 'a text that would be stored' }, v, 2),
  unshift: (v) => root.list.unshift(v),
  'unshift of several': (v) => root.list.unshift([1], v),
  splice: (v) => root.list.splice(0, 2, v),
  'splice of several': (v) => root.list.splice(1, 0, { fine: [1] }, v),
  fill: (v) => root.list.fill(v),
  'an element': (v) => (root.list[1] = v),
  'an element beyond the end': (v) => (root.list[10] = v),
  'a named property of an array': (v) => (root.list.named = v),
  'Object.defineProperty of an element': (v) =>
    Object.defineProperty(root.list, 1, { value: v, writable: true, enumerable: true, configurable: true }),
  'Array.prototype.push.call': (v) => Array.prototype.push.call(root.list, v),
  'a value of a Map': (v) => root.map.set('k', v),
  'a new value of a Map': (v) => root.map.set('fresh', v),
  'a key of a Map': (v) => root.map.set(v, { fine: 'a text that would be stored' }),
  getOrInsert: (v) => root.map.getOrInsert('fresh', v),
  'getOrInsert of a key': (v) => root.map.getOrInsert(v, [1]),
  getOrInsertComputed: (v) => root.map.getOrInsertComputed('fresh', () => v),
  'a member of a Set': (v) => root.set.add(v),
  tryPut: (v) => channel.tryPut(v),
  put: (v) => channel.put(v),
  putSync: (v) => channel.putSync(v),
  tryPutMany: (v) => channel.tryPutMany([{ fine: 1 }, v, 2]),
  putMany: (v) => channel.putMany([{ fine: 1 }, v, 2]),
  share: (v) => heap.share(v),
  'a transaction': (v) =>
    heap.transaction(() => {
      root.object.undone = { text: 'a text that must be gone again' }
      root.list.push([1, 2, 3])
      channel.tryPut('gone again')
      root.fresh = v
    }),
  'an explicit transaction': (v) => {
    const tx = heap.begin()
    try {
      tx.run(() => {
        root.map.set('undone', [1])
        root.fresh = v
      })
    } finally {
      tx.abort()
    }
  },
  'the result of a codec': (v) => (root.fresh = new Coded(v)),
}

// what is stored before the refusal, and undone with it, leaves the shapes of its keys
heap.transaction(() => {
  root.object.undone = { text: '' }
  delete root.object.undone
})

function content() {
  return inspect([root, channel.length, channel.peek()], { depth: 10 })
}

/** What is wrong with an attempt to store that must be refused; undefined if nothing is. */
async function fault(way, value, place) {
  const before = { content: content(), used: heap.stats().used }
  let error
  try {
    await way(value)
    return 'it was stored'
  } catch (e) {
    error = e
  }
  if (error?.code !== 'ERR_COHEAP_UNSUPPORTED_TYPE' || !(error instanceof TypeError)) return String(error?.stack)
  const found = /: (\$.*)$/s.exec(error.message)?.[1]
  if (found !== place) return `named ${found} instead of ${place}`
  const { used } = heap.stats()
  if (used !== before.used) return `${used - before.used} bytes are left`
  return content() === before.content ? undefined : `something was stored: ${content()}`
}

for (const [name, way] of Object.entries(WAYS)) {
  test.serial(`refused by ${name}`, async (t) => {
    const faults = []
    for (const [place, hold] of PLACES) {
      for (const [what, make, within = ''] of REFUSED) {
        const at = `$${way === WAYS['the result of a codec'] ? '.inner[0]' : ''}${place}${within}`
        const wrong = await fault(way, hold(make()), at)
        if (wrong !== undefined) faults.push(`${what} at ${at}: ${wrong}`)
      }
    }
    t.is(faults.length, 0, `${faults.length} faults:\n${faults.slice(0, 40).join('\n')}`)
  })
}

test.serial('objects that are refused leave nothing of their keys, however many there are', (t) => {
  const { used } = heap.stats()
  const refused = { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' }
  for (let i = 0; i < 100_000; i++) {
    const one = { [`own ${i}`]: 1, [`and ${i}`]: () => 1 }
    try {
      if (i % 4 === 0) root.fresh = one
      else if (i % 4 === 1) root.list.push(Object.freeze(one))
      else if (i % 4 === 2) channel.tryPut([Object.freeze({ [`frozen ${i}`]: 1 }), one])
      else heap.share(new Known(one))
      t.fail('it was stored')
    } catch (error) {
      if (error.code !== refused.code) throw error
    }
  }
  class Never {
    never = () => 1
  }
  register(Never)
  t.throws(() => heap.share(new Never()), refused)
  t.is(heap.stats().used, used)
  t.deepEqual(heap.verify(), [])
})

test.serial('a kind of object that is refused once is stored as any other later', (t) => {
  for (const freeze of [(o) => o, Object.freeze]) {
    t.throws(() => heap.share([freeze({ sometimes: 1 }), () => 1]), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
    for (let i = 0; i < 5; i++) t.deepEqual({ ...heap.share([freeze({ sometimes: i })])[0] }, { sometimes: i })
    const many = heap.share(Array.from({ length: 500 }, (_, i) => freeze({ [`one of ${i % 100}`]: i })))
    many.forEach((o, i) => t.is(o[`one of ${i % 100}`], i))
  }
})
