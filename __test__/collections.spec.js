// SharedMap and SharedSet behave as Map and Set.
import test from 'ava'
import { inspect } from 'node:util'
import { ASK } from '../dist/cells.js'
import { Heap, SharedMap, SharedSet, isShared, snapshot } from '../dist/index.js'
import { Places } from '../dist/places.js'
import { randomly } from './fixtures/random.js'

const heap = Heap.create()
test.after.always(() => heap.close())
const fresh = (value) => heap.share(value)

test('a map holds any key and finds it', (t) => {
  const m = fresh(new Map())
  t.true(m instanceof SharedMap)
  t.false(m instanceof Map)
  const o = fresh({})
  const keys = [
    1,
    -0,
    NaN,
    1.5,
    '',
    'a',
    'a longer key',
    'Ω',
    true,
    false,
    null,
    undefined,
    5n,
    -5n,
    2n ** 90n,
    Symbol.for('s'),
    o,
  ]
  keys.forEach((k, i) => t.is(m.set(k, i), m))
  t.is(m.size, keys.length)
  keys.forEach((k, i) => {
    t.is(m.get(k), i)
    t.true(m.has(k))
  })
  t.is(m.get(0), 1)
  t.true(Object.is([...m.keys()][1], 0))
  t.false(m.has({}))
  t.is(m.get({}), undefined)
  t.false(m.has(Symbol('x')))
  t.false(m.delete(() => 1))
  t.throws(() => m.set(() => 1, 1), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.throws(() => m.set('k', { f() {} }), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE', message: /\$\.f/ })
  t.is(m.size, keys.length)
  for (const k of keys) t.true(m.delete(k))
  t.is(m.size, 0)
})

test('plain keys and values are copied in', (t) => {
  const m = fresh(new Map())
  const key = { k: 1 }
  m.set(key, { v: 1 })
  t.false(m.has(key))
  const [[k, v]] = m
  t.true(isShared(k) && isShared(v))
  t.is(m.get(k), v)
  v.v++
  t.is(m.get(k).v, 2)
})

test('a random life of a map is the same for a plain and a shared one', (t) => {
  for (let seed = 1; seed <= 20; seed++) {
    const random = randomly(seed)
    const plain = new Map()
    const live = fresh(new Map())
    const range = random.pick([5, 50, 400])
    for (let i = 0; i < 600; i++) {
      const key = random.pick([random.int(range), 'k' + random.int(range), 'a rather long key ' + random.int(range)])
      const value = random.pick([i, 'v' + i, 'a rather long value ' + i, null])
      switch (random.int(8)) {
        case 0:
          t.is(live.delete(key), plain.delete(key))
          break
        case 1:
          t.is(live.get(key), plain.get(key))
          t.is(live.has(key), plain.has(key))
          break
        case 2:
          if (random.int(60) === 0) {
            plain.clear()
            live.clear()
          }
          break
        default:
          plain.set(key, value)
          live.set(key, value)
      }
      t.is(live.size, plain.size)
    }
    t.deepEqual([...live], [...plain])
    t.deepEqual([...live.keys()], [...plain.keys()])
    t.deepEqual([...live.values()], [...plain.values()])
    t.deepEqual(snapshot(live), plain)
  }
})

for (const size of [3, 200]) {
  test(`iterators of ${size} entries survive every change, as the language's do`, (t) => {
    const make = () => new Map(Array.from({ length: size }, (_, i) => [i, i]))
    const walk = (m) => {
      const seen = []
      for (const [k, v] of m) {
        seen.push([k, v])
        if (k === 0) m.delete(1)
        if (k === 0) m.set(2, 'changed')
        if (k === 2) m.set(size + 1, 'new')
        if (k === 2) m.delete(0)
        if (seen.length > 3 * size) break
      }
      return seen
    }
    t.deepEqual(walk(fresh(make())), walk(make()))
    const clearing = (m) => {
      const seen = []
      for (const k of m.keys()) {
        seen.push(k)
        if (k === 1) {
          m.clear()
          m.set('after', 1)
        }
      }
      return seen
    }
    t.deepEqual(clearing(fresh(make())), clearing(make()))
    const both = (m) => {
      const seen = []
      m.forEach((v, k) => {
        seen.push(k)
        if (k < 2) m.set(k + 1000, v)
      })
      return seen
    }
    t.deepEqual(both(fresh(make())), both(make()))
    heap.transaction(() => t.deepEqual(walk(fresh(make())), walk(make())))
  })
}

test('an iterator goes on after an await, with what is there then', async (t) => {
  const m = fresh(
    new Map([
      [1, 'a'],
      [2, 'b'],
      [3, 'c'],
    ]),
  )
  const seen = []
  for (const [k, v] of m) {
    seen.push([k, v])
    await null
    if (k === 1) m.set(2, 'new')
  }
  t.deepEqual(seen, [
    [1, 'a'],
    [2, 'new'],
    [3, 'c'],
  ])
})

test('getOrInsert and getOrInsertComputed', (t) => {
  const m = fresh(new Map())
  const a = m.getOrInsert('k', { n: 1 })
  t.true(isShared(a))
  t.is(m.getOrInsert('k', { n: 2 }), a)
  t.is(
    m.getOrInsertComputed('k', () => t.fail()),
    a,
  )
  t.is(
    m.getOrInsertComputed('j', (key) => key + '!'),
    'j!',
  )
  t.is(
    m.getOrInsertComputed(-0, (key) => (Object.is(key, 0) ? 'zero' : 'minus')),
    'zero',
  )
  t.throws(() => m.getOrInsertComputed('x', 5), { instanceOf: TypeError })
  t.throws(
    () =>
      m.getOrInsertComputed('x', () => {
        throw new Error('no')
      }),
    { message: 'no' },
  )
  t.false(m.has('x'))
  t.deepEqual(m.getOrInsert('date', new Date(1)), new Date(1))
})

test('getOrInsert takes every kind of key with every kind of value', (t) => {
  const kinds = [undefined, null, true, 7, 'text', 10n ** 20n, Symbol.for('key'), { n: 1 }, new Date(3)]
  for (const key of kinds) {
    for (const value of kinds) {
      const [plain, shared] = [new Map(), heap.share(new Map())]
      t.deepEqual(snapshot(shared.getOrInsert(key, value)), value)
      plain.set(key, value)
      t.deepEqual(snapshot(shared), plain)
      t.deepEqual(snapshot(heap.share(new Map()).getOrInsertComputed(key, () => value)), value)
    }
  }
})

test('sets: methods, order, algebra', (t) => {
  const s = fresh(new Set([3, 1, 2]))
  t.true(s instanceof SharedSet)
  t.deepEqual([...s], [3, 1, 2])
  t.is(s.add(1), s)
  s.add('x').delete(3)
  t.deepEqual(
    [...s.entries()],
    [
      [1, 1],
      [2, 2],
      ['x', 'x'],
    ],
  )
  t.is(s.keys, s.values)
  t.is(s[Symbol.iterator], s.values)
  const seen = []
  s.forEach((a, b, c) => seen.push(a === b && c === s && a))
  t.deepEqual(seen, [1, 2, 'x'])
  const other = new Set([2, 'x', 9])
  t.deepEqual(s.union(other), new Set([1, 2, 'x', 9]))
  t.deepEqual(s.intersection(other), new Set([2, 'x']))
  t.deepEqual(s.difference(other), new Set([1]))
  t.deepEqual(s.symmetricDifference(other), new Set([1, 9]))
  t.true(fresh(new Set([2])).isSubsetOf(s))
  t.true(s.isSupersetOf(new Set([1, 2])))
  t.true(s.isDisjointFrom(new Set([7])))
  t.false(s.isDisjointFrom(fresh(new Set([1]))))
  t.false(isShared(s.union(other)))
  t.throws(() => s.union([1]), { instanceOf: TypeError })
  t.throws(() => s.union({ size: -1, has() {}, keys() {} }), { instanceOf: RangeError })
  const o = fresh({})
  t.is([...fresh(new Set([o])).union(new Set())][0], o)
})

test('a random life of a set is the same for a plain and a shared one', (t) => {
  const random = randomly(7)
  const plain = new Set()
  const live = fresh(new Set())
  for (let i = 0; i < 2000; i++) {
    const v = random.pick([random.int(200), 's' + random.int(200)])
    if (random.int(3) === 0) t.is(live.delete(v), plain.delete(v))
    else {
      plain.add(v)
      live.add(v)
    }
  }
  t.deepEqual([...live], [...plain])
  t.deepEqual(snapshot(live), plain)
})

test('wrong receivers, construction, subclasses', (t) => {
  const m = fresh(new Map())
  const s = fresh(new Set())
  for (const Class of [SharedMap, SharedSet]) {
    t.throws(() => new Class(), { instanceOf: TypeError })
    t.throws(() => new (class extends Class {})(), { instanceOf: TypeError })
  }
  for (const name of ['get', 'set', 'has', 'delete', 'clear', 'forEach', 'keys', 'values', 'entries', 'getOrInsert']) {
    for (const wrong of [new Map(), s, {}, 1, null, undefined, Object.create(m)]) {
      t.throws(() => SharedMap.prototype[name].call(wrong, 1, 1), { instanceOf: TypeError })
    }
  }
  t.throws(() => Object.getOwnPropertyDescriptor(SharedMap.prototype, 'size').get.call(new Map()), {
    instanceOf: TypeError,
  })
  t.throws(() => Map.prototype.get.call(m, 1), { instanceOf: TypeError })
  t.throws(() => SharedSet.prototype.add.call(m, 1), { instanceOf: TypeError })
  t.is(Object.prototype.toString.call(m), '[object SharedMap]')
})

test('inspection of maps and sets', (t) => {
  t.is(
    inspect(
      fresh(
        new Map([
          [1, { a: 2 }],
          ['k', 'v'],
        ]),
      ),
    ),
    "SharedMap(2) { 1 => Shared { a: 2 }, 'k' => 'v' }",
  )
  t.is(inspect(fresh(new Set([1, 'x']))), "SharedSet(2) { 1, 'x' }")
  t.is(inspect(fresh(new Map())), 'SharedMap(0) {}')
})

test('what is asked for again and again is what is there now', (t) => {
  const dice = randomly(9)
  const keys = [0, NaN, 1.5, 'a', 'five5', 'a key with a block', 'another key with a block', true, '1', 1]
  const values = [1, -0, NaN, undefined, null, true, '', 'short', 'a text with a block of its own', 12n]
  const model = new Map()
  const m = fresh(new Map())
  const change = (map, key, value, what) => {
    if (what < 2) map.delete(key)
    else if (what === 2) map.clear()
    // new bodies, and stripes
    else if (what === 3) for (let i = 0; i < 80; i++) map.set(1000 + i, i)
    else if (what === 4) for (let i = 0; i < 80; i++) map.delete(1000 + i)
    else map.set(key, value)
  }
  for (let step = 0; step < 5000; step++) {
    const [key, value, what] = [dice.pick(keys), dice.pick(values), dice.int(60)]
    if (dice.int(10) === 0) {
      const undone = dice.int(2) === 0
      try {
        heap.transaction(() => {
          change(m, key, value, what)
          if (what > 4 && !Object.is(m.get(key), value)) t.fail(`${String(key)} in a transaction`)
          if (undone) throw new RangeError('undone')
        })
        change(model, key, value, what)
      } catch (error) {
        if (!(error instanceof RangeError)) throw error
      }
    } else if (dice.int(4) === 0) {
      change(m, key, value, what)
      change(model, key, value, what)
    }
    for (const k of keys) if (!Object.is(m.get(k), model.get(k))) t.fail(`step ${step}: ${String(k)}`)
  }
  m.set('a', 1)
  for (let i = 0; i < 100; i++) m.get('a')
  heap.destroy(m)
  t.throws(() => m.get('a'), { code: 'ERR_COHEAP_DESTROYED' })
})

test('where an entry stands is not believed under another version word, in another body, or of another key', (t) => {
  const u32 = new Uint32Array(64)
  const f64 = new Float64Array(u32.buffer)
  const window = { u32, f64, bytes: u32.byteLength, index: 0 }
  // the map at 0: its version word, its body (24), its stripes (40); an entry's key and value at 80 and 88
  const place = { guard: 0, at: 20, keyLow: 5, keyHigh: 6, block: 30, blockLow: 7 }
  const write = (words) => Object.entries(words).forEach(([at, word]) => (u32[at] = word))
  const sound = { 0: 2, 6: 48, 7: 0, 10: 0, 11: 0, 20: 5, 21: 6, 30: 7 }
  write(sound)
  f64[11] = 1.5
  const places = new Places()
  t.is(places.peek(u32, 0, 'k'), ASK)
  places.add('k', place, { body: 48, stripes: 0 }, window)
  t.is(places.peek(u32, 0, 'k'), 1.5)
  for (const at of [0, 6, 7, 10, 11, 20, 21, 30]) {
    u32[at]++
    t.is(places.peek(u32, 0, 'k'), ASK, `${at}`)
    write(sound)
    t.is(places.peek(u32, 0, 'k'), 1.5)
  }
  // the map has stripes now: what is met from then on is guarded by them, what was met before is to be asked for
  u32[10] = 64
  places.add('other', { ...place, guard: 40 }, { body: 48, stripes: 64 }, window)
  t.is(places.peek(u32, 0, 'other'), 1.5)
  t.is(places.peek(u32, 0, 'k'), ASK)
  // another body
  u32[6] = 96
  places.add('k', place, { body: 96, stripes: 64 }, window)
  t.deepEqual([places.peek(u32, 0, 'k'), places.peek(u32, 0, 'other')], [1.5, ASK])
})
