// Plain objects of a heap behave as the language says.
import test from 'ava'
import { inspect } from 'node:util'
import { Heap, SharedMap, isShared, snapshot } from '../dist/index.js'
import { randomly } from './fixtures/random.js'

const heap = Heap.create()
test.after.always(() => heap.close())
const root = heap.root
const fresh = (value) => heap.share(value)

test('what is read back is live and one object per identity', (t) => {
  const plain = { x: 1 }
  root.live = plain
  t.not(root.live, plain)
  t.is(root.live, root.live)
  root.live.x++
  t.is(root.live.x, 2)
  t.is(plain.x, 1)
  t.true(isShared(root.live))
  t.false(isShared(plain))
  root.again = root.live
  t.is(root.again, root.live)
})

test('properties of every scalar kind are read, overwritten and deleted', (t) => {
  const o = fresh({})
  const values = [
    1,
    -0,
    NaN,
    1.5,
    Infinity,
    '',
    'a',
    'ab',
    'abc',
    'abcd',
    'abcde',
    'abcdef',
    'é',
    'Ω',
    '\ud800',
    'x'.repeat(5000),
  ]
  values.push(true, false, null, undefined, 0n, -5n, 2n ** 100n, Symbol.for('s'))
  for (const a of values) {
    for (const b of values) {
      o.k = a
      t.true(Object.is(o.k, a))
      o.k = b
      t.true(Object.is(o.k, b))
    }
  }
  t.true('k' in o)
  t.true(delete o.k)
  t.false('k' in o)
  t.is(o.k, undefined)
})

test("key order is the language's, through deletes, dictionaries and odd keys", (t) => {
  const plain = {}
  const live = fresh({})
  const keys = ['b', 'a', '10', '2', '', 'é', '💥', '01', '-1', '4294967295', '4294967294', '__proto__x', 'constructor']
  const both = (f) => [plain, live].forEach(f)
  for (const k of keys) both((o) => (o[k] = k))
  t.deepEqual(Object.keys(live), Object.keys(plain))
  both((o) => delete o.a)
  both((o) => (o.a = 2))
  t.deepEqual(Object.keys(live), Object.keys(plain))
  for (let i = 0; i < 200; i++) both((o) => (o['k' + ((i * 7) % 200)] = i))
  t.deepEqual(Object.keys(live), Object.keys(plain))
  both((o) => (o[Symbol.for('s')] = 1))
  both((o) => (o.last = 1))
  t.deepEqual(Reflect.ownKeys(live), Reflect.ownKeys(plain))
  t.deepEqual(live, plain)
})

test('a random life of an object is the same for a plain and a shared one', (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = randomly(seed)
    const plain = {}
    const live = fresh({})
    for (let i = 0; i < 300; i++) {
      const key = random.pick(['a', 'b', 'c', 'd', '1', '0', '22', 'long key', 'k' + random.int(120)])
      const value = random.pick([1, 2.5, 'x', 'longer than five', null, undefined, true, 7n])
      switch (random.int(5)) {
        case 0:
        case 1:
          plain[key] = value
          live[key] = value
          break
        case 2:
          t.is(delete live[key], delete plain[key])
          break
        case 3:
          t.is(live[key], plain[key])
          t.is(key in live, key in plain)
          t.is(Object.hasOwn(live, key), Object.hasOwn(plain, key))
          break
        default:
          t.deepEqual(Object.keys(live), Object.keys(plain))
      }
    }
    t.deepEqual({ ...live }, plain)
    t.deepEqual(snapshot(live), plain)
  }
})

test('spread, destructuring, assign, entries, JSON, for-in', (t) => {
  const o = fresh({ a: 1, b: { c: [1, { d: 2 }] }, e: 'x' })
  t.deepEqual({ ...o }, { a: 1, b: o.b, e: 'x' })
  const { a, ...rest } = o
  t.is(a, 1)
  t.deepEqual(Object.keys(rest), ['b', 'e'])
  t.is(JSON.stringify(o), '{"a":1,"b":{"c":[1,{"d":2}]},"e":"x"}')
  t.deepEqual(Object.entries(o)[0], ['a', 1])
  const seen = []
  for (const k in o) seen.push(k)
  t.deepEqual(seen, ['a', 'b', 'e'])
  Object.assign(o, { f: 1, a: 2 })
  t.is(o.f + o.a, 3)
  t.is(o.hasOwnProperty('f'), true)
  t.is(String(o), '[object Object]')
  t.is(o.toString, Object.prototype.toString)
})

test('prototypes: exactly Object.prototype, or null', (t) => {
  const o = fresh({ a: 1 })
  t.is(Object.getPrototypeOf(o), Object.prototype)
  t.true(o instanceof Object)
  const bare = fresh(Object.assign(Object.create(null), { x: 1 }))
  t.is(Object.getPrototypeOf(bare), null)
  t.is(bare.toString, undefined)
  t.false('toString' in bare)
  t.throws(() => Object.setPrototypeOf(o, null), { instanceOf: TypeError })
  t.is(Object.setPrototypeOf(o, Object.prototype), o)
  t.throws(() => (o.__proto__ = {}), { instanceOf: TypeError })
  t.is(o.__proto__, Object.prototype)
  bare.__proto__ = 5
  t.is(bare.__proto__, 5)
  const own = fresh(JSON.parse('{"__proto__": 1}'))
  t.deepEqual(Object.keys(own), ['__proto__'])
  t.is(own.__proto__, 1)
})

test('attributes: default ones only', (t) => {
  const o = fresh({ a: 1 })
  t.deepEqual(Object.getOwnPropertyDescriptor(o, 'a'), {
    value: 1,
    writable: true,
    enumerable: true,
    configurable: true,
  })
  t.is(Object.getOwnPropertyDescriptor(o, 'none'), undefined)
  for (const f of [Object.freeze, Object.seal, Object.preventExtensions])
    t.throws(() => f(o), { instanceOf: TypeError })
  t.false(Object.isFrozen(o))
  t.true(Object.isExtensible(o))
  t.throws(() => Object.defineProperty(o, 'b', { value: 1 }), { instanceOf: TypeError })
  t.throws(() => Object.defineProperty(o, 'a', { writable: false }), { instanceOf: TypeError })
  t.throws(() => Object.defineProperty(o, 'a', { get: () => 1 }), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  Object.defineProperty(o, 'b', { value: 2, writable: true, enumerable: true, configurable: true })
  t.is(o.b, 2)
  Object.defineProperty(o, 'a', { value: 3 })
  t.is(o.a, 3)
  Object.defineProperty(o, 'a', {})
  t.is(o.a, 3)
})

test('an object that inherits from a shared one never writes to it', (t) => {
  const o = fresh({ a: 1 })
  const child = Object.create(o)
  t.is(child.a, 1)
  child.a = 2
  child.b = 3
  t.is(o.a, 1)
  t.false('b' in o)
  t.deepEqual({ ...child }, { a: 2, b: 3 })
  t.true(Reflect.set(o, 'a', 5, {}))
  t.is(o.a, 1)
})

test('symbols: registered ones are keys, others are refused and never there', (t) => {
  const o = fresh({})
  const s = Symbol.for('key')
  o[s] = 1
  t.is(o[s], 1)
  t.true(s in o)
  t.deepEqual(Object.getOwnPropertySymbols(o), [s])
  t.throws(() => (o[Symbol('x')] = 1), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.is(o[Symbol('x')], undefined)
  t.true(delete o[Symbol('x')])
  t.true(delete o[s])
  t.false(s in o)
})

test('what cannot be stored changes nothing', (t) => {
  const o = fresh({ a: 1 })
  t.throws(() => (o.a = { b: [() => 1] }), {
    code: 'ERR_COHEAP_UNSUPPORTED_TYPE',
    message: /\$\.b\[0\]/,
    instanceOf: TypeError,
  })
  t.throws(() => (o.c = Symbol('x')), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.deepEqual({ ...o }, { a: 1 })
})

test('frozen values come back frozen, writing to them throws in sloppy mode too', (t) => {
  root.frozen = Object.freeze({ a: Object.freeze([1, 2]), b: { c: 1 } })
  const f = root.frozen
  t.true(Object.isFrozen(f))
  t.true(Object.isFrozen(f.a))
  t.true(isShared(f.b))
  f.b.c = 5
  t.is(root.frozen.b.c, 5)
  t.throws(() => (f.a = 1), { code: 'ERR_COHEAP_READ_ONLY', instanceOf: TypeError })
  t.throws(() => f.a.push(1), { code: 'ERR_COHEAP_READ_ONLY' })
  t.throws(() => delete f.a, { code: 'ERR_COHEAP_READ_ONLY' })
  t.throws(() => new Function('f', 'f.a = 1')(f), { code: 'ERR_COHEAP_READ_ONLY' })
  t.is(root.frozen, f)
  root.frozen = Object.freeze({ a: 2 })
  t.is(root.frozen.a, 2)
})

test('by-value kinds are a fresh copy at each read', (t) => {
  root.when = new Date(7)
  root.when.setTime(9)
  t.is(root.when.getTime(), 7)
  t.not(root.when, root.when)
  root.re = /x/g
  t.deepEqual(root.re, /x/g)
  root.url = new URL('http://a.b/')
  t.is(root.url.href, 'http://a.b/')
  root.boxed = Object(5n)
  t.is(root.boxed.valueOf(), 5n)
  const e = new RangeError('bad', { cause: { live: 1 } })
  e.code = 'E_BAD'
  root.error = e
  t.true(root.error instanceof RangeError)
  t.is(root.error.code, 'E_BAD')
  t.is(root.error.stack, e.stack)
  t.is(root.error.cause.live, 1)
})

test('cycles and aliases of one value, and of live ones', (t) => {
  const a = { list: [] }
  a.self = a
  a.list.push(a.list, a)
  root.cycle = a
  t.is(root.cycle.self, root.cycle)
  t.is(root.cycle.list[0], root.cycle.list)
  t.is(root.cycle.list[1], root.cycle)
  root.cycle.up = root
  t.is(root.cycle.up.cycle, root.cycle)
})

test('a value 10,000 levels deep is stored, walked, copied and shown', (t) => {
  let deep = null
  for (let i = 0; i < 10_000; i++) deep = i % 3 === 0 ? [deep] : i % 3 === 1 ? { deep } : new Map([['deep', deep]])
  root.deep = deep
  const depth = (v) => {
    let n = 0
    for (; v !== null; n++)
      v = Array.isArray(v) ? v[0] : v instanceof Map || v instanceof SharedMap ? v.get('deep') : v.deep
    return n
  }
  t.is(depth(root.deep), 10_000)
  t.is(depth(snapshot(root.deep)), 10_000)
  t.true(inspect(root.deep).length > 0)
  root.deep = null
})

test('inspection marks what is shared', (t) => {
  const o = fresh({ a: 1, list: [1, 2], map: new Map([['k', { v: 1 }]]), set: new Set([1]) })
  t.is(
    inspect(o, { breakLength: Infinity }),
    "Shared { a: 1, list: Shared [ 1, 2 ], map: SharedMap(1) { 'k' => Shared { v: 1 } }, set: SharedSet(1) { 1 } }",
  )
  t.is(
    inspect(fresh({ a: { b: { c: { d: 1 } } } })).replace(/\s+/g, ' '),
    'Shared { a: Shared { b: Shared { c: [Shared] } } }',
  )
  t.is(inspect(fresh([1, , 3])), 'Shared [ 1, <1 empty item>, 3 ]')
  for (const [length, ...places] of [
    [1000, 500],
    [1000, 1, 150, 999],
    [2 ** 32 - 1, 2 ** 32 - 2],
    [2 ** 32 - 1, 5, 200_000],
    [500, ...Array.from({ length: 240 }, (_, i) => 2 * i)],
  ]) {
    const plain = []
    plain.length = length
    for (const i of places) plain[i] = i
    for (const maxArrayLength of [100, 3, 1, null]) {
      const options = { maxArrayLength, breakLength: Infinity, compact: 1000 }
      t.is(inspect(fresh(plain), options), `Shared ${inspect(plain, options)}`)
    }
  }
  const dense = Array.from({ length: 120_000 }, (_, i) => i)
  t.is(inspect(fresh(dense), { maxArrayLength: null }), `Shared ${inspect(dense, { maxArrayLength: null })}`)
})

test('inspection numbers what is circular as it does for plain objects', (t) => {
  const graph = (live) => {
    const o = live({ a: {}, list: [1], map: new Map([['k', {}]]), set: new Set() })
    o.a.up = o
    o.list.push(o.list, o.a)
    o.map.get('k').map = o.map
    o.set.add(o.set).add(o.list)
    return o
  }
  const marks = (text) =>
    text
      .replace(/Shared /g, '')
      .replace(/Shared(?=Map|Set)/g, '')
      .replace(/\s+/g, ' ')
  for (const depth of [0, 1, 2, 5]) {
    const options = { depth }
    const plain = marks(
      inspect(
        graph((o) => o),
        options,
      ),
    )
    const live = marks(inspect(graph(fresh), options))
    t.is(live, plain.replace(/\[(?:Object|Array)\]/g, '[Shared]').replace(/\[(Map|Set)\]/g, '[$1]'), `depth ${depth}`)
  }
  const [one, two] = [fresh({}), fresh({})]
  one.self = one
  two.self = two
  t.is(inspect(two), '<ref *1> Shared { self: [Circular *1] }', 'each printing counts from 1')
  t.true(inspect(one, { colors: true }).startsWith('\x1b[36m<ref *1>\x1b[39m Shared {'))
})

test('a Proxy of the user may store and read other things while it is read', (t) => {
  const trap = new Proxy(
    { a: 1, b: 2 },
    {
      getOwnPropertyDescriptor(target, key) {
        root.inner = { of: key, big: 'y'.repeat(3000) }
        void root.error
        return Reflect.getOwnPropertyDescriptor(target, key)
      },
    },
  )
  root.outer = { first: 'x'.repeat(100), trap, last: ['z'] }
  t.deepEqual(snapshot(root.outer), { first: 'x'.repeat(100), trap: { a: 1, b: 2 }, last: ['z'] })
  t.is(root.inner.of, 'b')
})

test('live objects do not go through structuredClone', (t) => {
  t.throws(() => structuredClone(fresh({ a: 1 })), { any: true })
  t.throws(() => structuredClone(fresh([1])), { any: true })
})

test('a snapshot is plain and deep', (t) => {
  const o = fresh({ a: [1, { b: new Map([[1, new Set(['x'])]]) }], t: new Uint8Array([1, 2]), d: new Date(3) })
  const s = snapshot(o)
  t.deepEqual(s, { a: [1, { b: new Map([[1, new Set(['x'])]]) }], t: new Uint8Array([1, 2]), d: new Date(3) })
  t.false(isShared(s) || isShared(s.a) || isShared(s.t))
  s.t[0] = 9
  t.is(o.t[0], 1)
  t.is(snapshot(5), 5)
  const plain = fresh({ f: Object.freeze({ a: Object.freeze([1, { live: 1 }]) }), e: new Error('x') })
  t.deepEqual(structuredClone(snapshot(plain)).f, { a: [1, { live: 1 }] })
  t.true(Object.isFrozen(snapshot(plain).f.a))
  t.deepEqual(structuredClone(snapshot(plain.f)), { a: [1, { live: 1 }] })
  t.true(Object.isFrozen(snapshot(plain.f)))
  const mixed = snapshot(Object.freeze({ o, list: [o.a] }))
  t.false(isShared(mixed.o) || isShared(mixed.list[0]))
})
