// Arrays of a heap behave as the language says.
import test from 'ava'
import { Heap, isShared, snapshot } from '../dist/index.js'
import { randomly } from './fixtures/random.js'

const heap = Heap.create()
test.after.always(() => heap.close())
const fresh = (value) => heap.share(value)

test('elements, length, holes, names', (t) => {
  const a = fresh([1, 'two', , { four: 4 }])
  t.true(Array.isArray(a))
  t.is(Object.getPrototypeOf(a), Array.prototype)
  t.is(a.length, 4)
  t.is(a[1], 'two')
  t.false(2 in a)
  t.is(a[2], undefined)
  t.is(a[3], a[3])
  a[6] = 'six'
  t.is(a.length, 7)
  t.false(5 in a)
  a.length = 2
  t.deepEqual([...a], [1, 'two'])
  t.throws(() => (a.length = -1), { instanceOf: RangeError })
  t.throws(() => (a.length = 1.5), { instanceOf: RangeError })
  a.name = 'list'
  t.is(a.name, 'list')
  t.deepEqual(Reflect.ownKeys(a), ['0', '1', 'length', 'name'])
  t.deepEqual(Object.keys(a), ['0', '1', 'name'])
  t.true(delete a.name)
  t.throws(() => delete a.length, { instanceOf: TypeError })
  a[2 ** 32 - 2] = 'end'
  t.is(a.length, 2 ** 32 - 1)
  t.is(a[2 ** 32 - 2], 'end')
  t.deepEqual(Object.keys(a), ['0', '1', '4294967294'])
  a['4294967295'] = 'no index'
  t.is(a.length, 2 ** 32 - 1)
  t.is(a['4294967295'], 'no index')
  a['-1'] = a['01'] = a['1.5'] = 1
  t.is(a.length, 2 ** 32 - 1)
})

test('descriptors of an array', (t) => {
  const a = fresh([1])
  t.deepEqual(Object.getOwnPropertyDescriptor(a, 'length'), {
    value: 1,
    writable: true,
    enumerable: false,
    configurable: false,
  })
  t.deepEqual(Object.getOwnPropertyDescriptor(a, '0'), {
    value: 1,
    writable: true,
    enumerable: true,
    configurable: true,
  })
  Object.defineProperty(a, 'length', { value: 0 })
  t.is(a.length, 0)
  t.throws(() => Object.defineProperty(a, 'length', { writable: false }), { instanceOf: TypeError })
  Object.defineProperty(a, '2', { value: 5, writable: true, enumerable: true, configurable: true })
  t.is(a.length, 3)
  for (const f of [Object.freeze, Object.seal, Object.preventExtensions])
    t.throws(() => f(a), { instanceOf: TypeError })
  t.deepEqual(Object.getOwnPropertyNames(a), ['2', 'length'])
})

const operations = {
  push: (r, v) => ['push', ...Array.from({ length: r.int(4) }, v)],
  pop: () => ['pop'],
  shift: () => ['shift'],
  unshift: (r, v) => ['unshift', ...Array.from({ length: r.int(4) }, v)],
  splice: (r, v) => ['splice', r.int(20) - 8, r.int(6) - 1, ...Array.from({ length: r.int(5) }, v)],
  splice1: (r) => ['splice', r.int(20)],
  reverse: () => ['reverse'],
  sort: () => ['sort'],
  fill: (r, v) => ['fill', v(), r.int(20) - 8, r.int(20) - 8],
  copyWithin: (r) => ['copyWithin', r.int(20) - 8, r.int(20) - 8, r.int(20) - 8],
  at: (r) => ['at', r.int(20) - 8],
  indexOf: (r, v) => ['indexOf', v()],
  includes: (r, v) => ['includes', v()],
  slice: (r) => ['slice', r.int(20) - 8, r.int(20) - 8],
  concat: (r, v) => ['concat', [v()], v()],
  join: () => ['join', '-'],
  lastIndexOf: (r, v) => ['lastIndexOf', v()],
  toSorted: () => ['toSorted'],
  with: () => ['toReversed'],
  flat: () => ['flat'],
}

test('a random life of an array is the same for a plain and a shared one', (t) => {
  for (let seed = 1; seed <= 40; seed++) {
    const random = randomly(seed)
    const value = () =>
      random.pick([1, 2, 3.5, 'x', 'y', 'longer than five', null, undefined, true, 12345678901234567890n])
    const plain = Array.from({ length: random.int(30) }, value)
    const live = fresh(plain)
    for (let i = 0; i < 120; i++) {
      const step = random.int(10)
      if (step === 0) {
        const at = random.int(40)
        const v = value()
        plain[at] = v
        live[at] = v
      } else if (step === 1) {
        const at = random.int(40)
        t.is(delete live[at], delete plain[at])
      } else if (step === 2) {
        const n = random.int(30)
        plain.length = n
        live.length = n
      } else {
        const [name, ...args] = random.pick(Object.values(operations))(random, value)
        const expected = plain[name](...args)
        const actual = live[name](...args)
        if (expected === plain) t.is(actual, live, name)
        else t.deepEqual(actual, expected, `${name}(${args.map(String).join()}) seed ${seed}`)
        if (Array.isArray(actual) && actual !== live) t.false(isShared(actual))
      }
      t.is(live.length, plain.length)
    }
    t.deepEqual([...live], [...plain])
    t.deepEqual(Object.keys(live), Object.keys(plain))
    t.deepEqual(snapshot(live), plain)
  }
})

test('methods that make arrays make plain ones with live members', (t) => {
  const a = fresh([{ v: 1 }, { v: 2 }])
  for (const made of [
    a.map((x) => x),
    a.filter(() => true),
    a.slice(),
    a.concat(),
    a.flatMap((x) => [x]),
    Array.from(a),
    [...a],
  ]) {
    t.false(isShared(made))
    t.is(made[0], a[0])
  }
  const [removed] = a.splice(0, 1)
  t.true(isShared(removed))
  t.is(removed.v, 1)
  t.is(a.length, 1)
  t.is(
    a.find((x) => x.v === 2),
    a[0],
  )
  t.is(
    a.reduce((s, x) => s + x.v, 0),
    2,
  )
})

test("iterators see changes as the language's do", (t) => {
  const a = fresh([1, 2, 3])
  const seen = []
  for (const x of a) {
    seen.push(x)
    if (seen.length < 3) a.push(x * 10)
    if (x === 2) a[2] = 'changed'
  }
  t.deepEqual(seen, [1, 2, 'changed', 10, 20])
  t.deepEqual(
    [...fresh(['a', , 'c']).entries()],
    [
      [0, 'a'],
      [1, undefined],
      [2, 'c'],
    ],
  )
  t.deepEqual([...fresh(['a', , 'c']).keys()], [0, 1, 2])
  const it = fresh([1])[Symbol.iterator]()
  t.is(it[Symbol.iterator](), it)
  t.is(Object.prototype.toString.call(it), '[object Array Iterator]')
  t.deepEqual(it.next(), { value: 1, done: false })
  t.deepEqual(it.next(), { value: undefined, done: true })
})

test('sort: comparators, stability, undefined and holes, what throws changes nothing', (t) => {
  const a = fresh([3, undefined, 1, , 2])
  a.sort((x, y) => y - x)
  t.deepEqual(a.slice(0, 4), [3, 2, 1, undefined])
  t.false(4 in a)
  const b = fresh(Array.from({ length: 100 }, (_, i) => ({ k: i % 3, i })))
  b.sort((x, y) => x.k - y.k)
  t.deepEqual(
    b.map((x) => x.i),
    Array.from({ length: 100 }, (_, i) => ({ k: i % 3, i }))
      .sort((x, y) => x.k - y.k)
      .map((x) => x.i),
  )
  t.throws(
    () =>
      a.sort(() => {
        throw new Error('no')
      }),
    { message: 'no' },
  )
  t.deepEqual(a.slice(0, 3), [3, 2, 1])
  t.throws(() => a.sort(5), { instanceOf: TypeError })
  let calls = 0
  const c = fresh([2, 1])
  c.sort((x, y) => {
    if (calls++ === 0) c.push(0)
    return x - y
  })
  t.deepEqual([...c], [0, 1, 2])
})

test('sort makes no text of an element that there is nothing to compare with', (t) => {
  for (const alone of [[Symbol.for('s')], [, Object.create(null), , undefined]]) {
    const shared = heap.share(alone)
    shared.sort()
    t.deepEqual(Object.keys(shared), Object.keys(alone.sort()))
  }
  t.throws(() => heap.share([Symbol.for('s'), 1]).sort(), { instanceOf: TypeError })
})

test('push is all or nothing', (t) => {
  const a = fresh([1])
  t.throws(() => a.push(2, () => 1), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.throws(() => a.splice(0, 1, Symbol('x')), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.throws(() => a.unshift(1, new WeakMap()), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.deepEqual([...a], [1])
  t.is(a.push(), 1)
  t.is(a.push(2, 3), 3)
})

test("the engine's own methods work on shared arrays, ours on plain ones", (t) => {
  const a = fresh([3, 1, 2])
  t.is(Array.prototype.push.call(a, 4), 4)
  Array.prototype.sort.call(a)
  t.deepEqual([...a], [1, 2, 3, 4])
  t.is(Array.prototype.pop.call(a), 4)
  t.deepEqual(Array.prototype.splice.call(a, 0, 1), [1])
  const { push, sort, at } = a
  const plain = [2]
  push.call(plain, 1)
  t.deepEqual(sort.call(plain), [1, 2])
  t.is(at.call(plain, -1), 2)
  t.is(push.call({ length: 0 }, 1), 1)
  t.is(a.push.length, 1)
  t.is(a.push.name, 'push')
})

test('a named property may hide a method', (t) => {
  const a = fresh([1])
  a.push = 5
  t.is(a.push, 5)
  delete a.push
  t.is(a.push(2), 2)
  const b = fresh(Object.assign([1], { pop: 'own' }))
  t.is(b.pop, 'own')
})

test('large arrays: a million numbers in and out, in bulk and one by one', (t) => {
  const plain = Array.from({ length: 300_000 }, (_, i) => i * 0.5)
  const a = fresh(plain)
  t.is(a.length, 300_000)
  let sum = 0
  for (const x of a) sum += x
  t.is(
    sum,
    plain.reduce((s, x) => s + x),
  )
  a.reverse()
  t.is(a[0], plain[299_999])
  t.is(a.splice(10, 299_980).length, 299_980)
  t.is(a.length, 20)
  const q = fresh([])
  for (let i = 0; i < 50_000; i++) q.push(i)
  for (let i = 0; i < 50_000; i++) t.true(q.shift() === i)
  t.is(q.length, 0)
})

test('an array of objects keeps one wrapper per object', (t) => {
  const a = fresh([{ i: 0 }, { i: 1 }])
  const [x, y] = a
  a.reverse()
  t.is(a[0], y)
  t.is(a[1], x)
  t.true(a.includes(x))
  t.is(a.indexOf(y), 0)
  t.is(a.indexOf({ i: 0 }), -1)
})
