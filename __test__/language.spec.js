// Corners of the language on live containers, each of which was once wrong or is easily got wrong.
import test from 'ava'
import { execFileSync } from 'node:child_process'
import { inspect } from 'node:util'
import { Heap, SharedMap, SharedSet, isShared, register, snapshot } from '../dist/index.js'

const heap = Heap.create()
test.after.always(() => heap.close())
const fresh = (value) => heap.share(value)

/** Runs `body` while Array.prototype or Object.prototype has a property more; nothing else may run meanwhile. */
function polluted(prototype, key, descriptor, body) {
  const old = Object.getOwnPropertyDescriptor(prototype, key)
  Object.defineProperty(prototype, key, { ...descriptor, configurable: true })
  try {
    return body()
  } finally {
    if (old === undefined) delete prototype[key]
    else Object.defineProperty(prototype, key, old)
  }
}

test('what a program puts on Array.prototype counts for live arrays', (t) => {
  const a = fresh([1, , 3])
  const set = []
  const [inherited, holes, own] = polluted(Array.prototype, '1', { get: () => 'up', set: (v) => set.push(v) }, () => {
    const seen = [a[1], a.at(1), [...a][1], 1 in a]
    a[1] = 'no element'
    return [seen, Object.hasOwn(a, 1), a[1]]
  })
  t.deepEqual(inherited, ['up', 'up', 'up', true])
  t.false(holes)
  t.is(own, 'up')
  t.deepEqual(set, ['no element'])
  const called = polluted(Array.prototype, 'push', { value: () => 'mine' }, () => a.push(5))
  t.is(called, 'mine')
  t.is(a.length, 3)
  t.is(a.push(5), 4)
})

test('accessors under indices of Array.prototype or Object.prototype do not get into what the library itself does', (t) => {
  const kinds = {
    everything: () => ({
      list: [1, 'two', { three: [3] }],
      pairs: new Map([[{ key: 1 }, [2]]]),
      values: new Set(['a', 'b', { c: 1 }]),
      frozen: Object.freeze({ live: [1, 2], deep: Object.freeze([Object.freeze({ a: 1 }), Object.freeze({ a: 2 })]) }),
      flat: Object.freeze({ a: 'text', b: 1, c: 'text' }),
      error: new RangeError('wrong', { cause: [1] }),
      bytes: new Uint8Array([1, 2, 3]),
    }),
    deep: () => [[[[[{ a: { b: { c: [1, [2]] } } }]]]]],
    keys: () => Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`key${i}`, { i }])),
    sparse: () => Object.assign([], { 3: 'three', 7: 'seven', named: [1] }),
  }
  const show = (value) => inspect(snapshot(value), { depth: null, maxArrayLength: null }).replace(/\n +at .*/g, '')
  for (const prototype of [Array.prototype, Object.prototype]) {
    for (const [name, make] of Object.entries(kinds)) {
      const value = make()
      const before = show(value)
      let called = 0
      const accessor = { get: () => void called++, set: () => void called++, configurable: true }
      const more = [[5], { six: 6 }]
      // a heap that has done nothing yet
      const young = Heap.create()
      for (let i = 0; i < 20; i++) Object.defineProperty(prototype, i, accessor)
      let outcome
      try {
        young.root.x = value
        const x = young.root.x
        const list = young.share([3, 1, 2, 'x'])
        if (prototype === Object.prototype) list.sort()
        const copy = snapshot(x)
        const channel = young.channel('c')
        channel.tryPutMany(more)
        outcome = {
          copy,
          keys: Reflect.ownKeys(x),
          taken: channel.takeMany(2).length,
          spliced: prototype === Object.prototype ? list.splice(1, 2, ...more) : undefined,
          all: [...list],
          entries: [...young.share(new Map([[1, [2]]])).entries()],
          transaction: young.transaction(() => [...young.share([[1], [2]])].length),
          filled: list.fill(0, 1).length,
        }
      } finally {
        for (let i = 0; i < 20; i++) delete prototype[i]
        Array.prototype.length = 0
        young.close()
      }
      t.is(called, 0, name)
      t.is(show(outcome.copy), before, name)
      t.deepEqual(outcome.keys, Reflect.ownKeys(value))
      t.is(outcome.taken, 2)
      t.is(outcome.transaction, 2)
      if (prototype === Object.prototype) t.deepEqual([outcome.spliced.length, outcome.all.length], [2, 4])
    }
  }
})

test('where a program has frozen Object.prototype, members may still have the names that stand there', (t) => {
  const names = { constructor: 1, toString: 'text', valueOf: null }
  const code = `
    import { Heap, snapshot } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
    Object.freeze(Object.prototype)
    const names = JSON.parse(process.argv[1])
    const { root } = Heap.create()
    root.live = names
    root.flat = Object.freeze({ ...names })
    root.deep = Object.freeze([Object.freeze({ ...names })])
    const seen = [root.live, root.flat, root.deep[0], snapshot(root.live), snapshot(root.flat)]
    console.log(JSON.stringify(seen.map((o) => Object.fromEntries(Object.keys(o).map((key) => [key, o[key]])))))`
  const args = ['--input-type=module', '--eval', code, JSON.stringify(names)]
  const output = execFileSync(process.execPath, args, { encoding: 'utf8' })
  t.deepEqual(JSON.parse(output), new Array(5).fill(names))
})

test('what a program puts on Object.prototype does not disturb descriptors', (t) => {
  const o = fresh({ a: 1 })
  const f = () => 1
  polluted(Object.prototype, 'get', { value: f, writable: true }, () => (o.b = 2))
  t.deepEqual({ ...o }, { a: 1, b: 2 })
})

test('an array changed while Array.prototype has elements is what a plain one is', (t) => {
  const changes = {
    pop: (a) => a.pop(),
    shift: (a) => a.shift(),
    unshift: (a) => a.unshift('new'),
    push: (a) => a.push('new'),
    splice: (a) => a.splice(0, 1),
    reverse: (a) => a.reverse().length,
    sort: (a) => a.sort().length,
    fill: (a) => a.fill('new', 1, 2).length,
    copyWithin: (a) => a.copyWithin(0, 1).length,
  }
  const asElement = { value: 'inherited', writable: true }
  // no array: its own push would call the setter
  let log = ''
  const asAccessor = { get: () => ((log += 'get '), 'inherited'), set: (v) => (log += `set ${v} `) }
  for (const [name, change] of Object.entries(changes)) {
    for (const descriptor of [asElement, asAccessor]) {
      // the places are looked at afterwards, without what they inherit; what is inherited has made a length
      const outcome = (a) => {
        log = ''
        const result = polluted(Array.prototype, '1', descriptor, () => change(a))
        Array.prototype.length = 0
        return [result, log]
      }
      const [plain, live] = [[3, , 1, ,], fresh([3, , 1, ,])]
      t.deepEqual(outcome(live), outcome(plain), name)
      t.deepEqual(Object.entries(live), Object.entries(plain), name)
      t.is(live.length, plain.length)
    }
  }
  // sort sees those of Object.prototype too
  const sorted = (a) => polluted(Object.prototype, '2', { value: 4, writable: true }, () => a.sort())
  const live = fresh([undefined, 3, , 2])
  t.deepEqual(Object.entries(sorted(live)), Object.entries(sorted([undefined, 3, , 2])))
})

test('a constructor of its own decides what splice gives', (t) => {
  const a = fresh([1, 2])
  a.constructor = null
  t.throws(() => a.splice(0, 1), { instanceOf: TypeError })
  t.deepEqual([...a], [1, 2])
  a.constructor = undefined
  t.deepEqual(a.splice(0, 1), [1])
})

test('the library goes on where a program has broken how arrays are iterated', async (t) => {
  let waiting
  const outcome = polluted(Array.prototype, Symbol.iterator, { value: undefined }, () => {
    const other = Heap.create()
    const { root } = other
    root.a = { x: [1, { y: 2 }], [Symbol.for('s')]: new Set(), f: Object.freeze({ z: Object.freeze([1]) }) }
    root.a.x.push(3, 4)
    root.a.x.sort()
    root.a.x.fill(0, 1)
    other.transaction(() => (root.e = new Error('kept', { cause: 1 })))
    const tx = other.begin()
    tx.run(() => (root.undone = {}))
    tx.abort()
    const copy = snapshot(root)
    waiting = other.channel('c').take()
    other.close()
    return copy
  })
  t.deepEqual(Object.keys(outcome), ['a', 'e'])
  t.deepEqual(outcome.a.x, [1, 0, 0, 0])
  t.is(outcome.a.f.z[0] + outcome.e.cause, 2)
  await t.throwsAsync(waiting, { code: 'ERR_COHEAP_CLOSED' })
})

test('what a program puts on Object.prototype does not get into descriptors', (t) => {
  for (const key of ['get', 'set', 'value', 'writable']) {
    const seen = polluted(Object.prototype, key, { value: 1, writable: true }, () => {
      const o = fresh({ a: 1, list: [1], map: new Map([[1, 2]]), set: new Set([1]), error: new Error('kept') })
      return [Object.keys(o), { ...o.list }, o.map.get(1), o.set.has(1), o.error.message, Object.keys(snapshot(o))]
    })
    const keys = ['a', 'list', 'map', 'set', 'error']
    t.deepEqual(seen, [keys, { 0: 1 }, 2, true, 'kept', keys], key)
  }
})

test('what a program makes of Object.keys is not called for names that are met for the first time', (t) => {
  const never = () => t.fail('it must not be called')
  const entries = polluted(Object, 'keys', { value: never, writable: true }, () => {
    return Object.entries(fresh({ tampered: 1, neverSeen: { before: 2 } }).neverSeen)
  })
  t.deepEqual(entries, [['before', 2]])
})

test('an object that inherits from a frozen one is its own', (t) => {
  const holder = fresh({ frozen: Object.freeze({ a: 1 }), list: Object.freeze([1]) })
  for (const frozen of [holder.frozen, holder.list]) {
    const heir = Object.create(frozen)
    heir.own = 2
    t.deepEqual(Object.keys(heir), ['own'])
    t.throws(() => (frozen.own = 2), { code: 'ERR_COHEAP_READ_ONLY' })
  }
  const heir = Object.create(holder.frozen)
  t.throws(() => (heir.a = 2), { instanceOf: TypeError })
})

test('a field that shadows an accessor of its class stays what it is', (t) => {
  class Base {
    get x() {
      return 'accessor'
    }
  }
  class Shadowing extends Base {
    x = 5
  }
  register(Shadowing)
  const o = fresh({ live: new Shadowing(), frozen: Object.freeze(new Shadowing()) })
  for (const one of [o.live, o.frozen, snapshot(o.live), snapshot(o.frozen)]) {
    t.is(one.x, 5)
    t.true(one instanceof Shadowing)
  }
})

test('lengths and indices are converted as the language does', (t) => {
  const a = fresh([1, 2, 3])
  for (const wrong of [-1, 1.5, 2 ** 32, NaN, 'x', undefined]) {
    t.throws(() => (a.length = wrong), { instanceOf: RangeError })
  }
  t.throws(() => (a.length = 1n), { instanceOf: TypeError })
  t.throws(() => (a.length = Symbol.iterator), { instanceOf: TypeError })
  t.throws(() => a.at(1n), { instanceOf: TypeError })
  t.throws(() => a.splice(0n, 1), { instanceOf: TypeError })
  t.throws(() => a.fill(0, Symbol.iterator), { instanceOf: TypeError })
  t.throws(() => fresh([Symbol.for('a'), 'b']).sort(), { instanceOf: TypeError })
  a.length = { valueOf: () => 2 }
  t.deepEqual([...a], [1, 2])
  t.is(a.at('-1'), 2)
  t.is(a.at(-3), undefined)
  a.length = '1'
  t.deepEqual(a.splice(-5, Infinity), [1])
  // what is no length comes before what no length may be
  for (const wrong of [{ configurable: true }, { enumerable: true }, { writable: false }]) {
    t.throws(() => Object.defineProperty(a, 'length', { value: -1, ...wrong }), { instanceOf: RangeError })
    t.throws(() => Object.defineProperty(a, 'length', { value: 1, ...wrong }), { instanceOf: TypeError })
  }
  t.false(Reflect.defineProperty(a, 'length', { get: () => 1 }))
})

test('an array grows no longer than 2^32-1: a RangeError, and nothing is done', (t) => {
  const a = fresh([])
  a[2 ** 32 - 2] = 'end'
  for (const more of [() => a.push(1), () => a.push(1, 2), () => a.unshift(1), () => a.splice(0, 0, 1)]) {
    t.throws(more, { instanceOf: RangeError, code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  }
  t.deepEqual(Object.keys(a), ['4294967294'])
  t.is(a.push(), 2 ** 32 - 1)
})

test('an array whose indices double needs no more memory than its elements', (t) => {
  const small = Heap.create(undefined, { size: '4MiB', maxSize: '4MiB' })
  small.root.a = []
  for (let k = 1; k < 32; k++) small.root.a[2 ** k - 2] = k
  t.is(small.root.a.length, 2 ** 31 - 1)
  t.deepEqual(
    Object.values(small.root.a),
    Array.from({ length: 31 }, (_, i) => i + 1),
  )
  small.close()
})

test('a sparse array is sorted and reversed by its elements, not by its places', (t) => {
  const a = fresh([])
  a[2 ** 32 - 2] = 'b'
  a[7] = undefined
  a[5] = { id: 'live' }
  const live = a[5]
  a.reverse()
  t.deepEqual(Object.keys(a), ['0', '4294967287', '4294967289'])
  t.is(a[4294967289], live)
  a.sort((x, y) => (x === live ? 1 : y === live ? -1 : 0))
  t.deepEqual(Object.keys(a), ['0', '1', '2'])
  t.deepEqual([a[0], a[1], a[2]], ['b', live, undefined])
  t.is(a.length, 2 ** 32 - 1)
  t.is(a.pop(), undefined)
  t.is(a.length, 2 ** 32 - 2)
})

test('what looks up, copies and derives', (t) => {
  const a = fresh([NaN, -0, , { k: 1 }])
  t.true(a.includes(NaN))
  t.true(a.includes(undefined))
  t.is(a.indexOf(NaN), -1)
  t.is(a.indexOf(0), 1)
  t.is(a.indexOf(undefined), -1)
  t.false(a.includes({ k: 1 }))
  t.is(a.indexOf(a[3]), 3)
  const derived = [
    a.slice(),
    a.with(0, 1),
    a.toReversed(),
    a.toSpliced(0, 1),
    a.flat(),
    Array.from(a),
    [...a],
    a.concat(1),
  ]
  for (const d of derived) t.false(isShared(d))
  t.true(derived.every((d) => d.includes(a[3])))
  t.deepEqual(fresh([3, 1, 2]).toSorted(), [1, 2, 3])
  t.deepEqual([...fresh([1, 2, 3, 4, 5]).copyWithin(0, 3)], [4, 5, 3, 4, 5])
  t.throws(() => a.with(9, 1), { instanceOf: RangeError })
  const spread = fresh({ length: 2, 0: 'x', 1: 'y', [Symbol.for('other')]: 1 })
  t.deepEqual([].concat(spread), [spread])
  t.deepEqual([0].concat(fresh([1, fresh([2])])).length, 3)
  t.is(Array.prototype.join.call(spread), 'x,y')
  t.is(Array.prototype.push.call(spread, 'z'), 3)
  t.is(spread[2], 'z')
  t.deepEqual(Array.from(spread), ['x', 'y', 'z'])
})

test('iterators: prototypes, tags, wrong receivers, after the end', (t) => {
  const iterators = {
    'Array Iterator': [fresh([1]).values(), fresh([1]).entries()],
    'Map Iterator': [fresh(new Map([[1, 2]])).keys(), fresh(new Map([[1, 2]]))[Symbol.iterator]()],
    'Set Iterator': [fresh(new Set([1])).values(), fresh(new Set([1])).entries()],
  }
  const iteratorPrototype = Object.getPrototypeOf(Object.getPrototypeOf([].values()))
  for (const [tag, [one, other]] of Object.entries(iterators)) {
    const prototype = Object.getPrototypeOf(one)
    t.is(Object.getPrototypeOf(other), prototype)
    t.is(Object.getPrototypeOf(prototype), iteratorPrototype)
    t.deepEqual(Reflect.ownKeys(prototype), ['next', Symbol.toStringTag])
    t.is(prototype[Symbol.toStringTag], tag)
    t.is(one[Symbol.iterator](), one)
    for (const wrong of [undefined, {}, [].values(), prototype]) {
      t.throws(() => prototype.next.call(wrong), { instanceOf: TypeError })
    }
    one.next()
    t.deepEqual(one.next(), { value: undefined, done: true })
    t.deepEqual(one.next(), { value: undefined, done: true })
  }
})

test('the set algebra looks at its argument as the language does', (t) => {
  const s = fresh(new Set([1, 2, 3]))
  const seen = []
  const like = {
    get size() {
      seen.push('size')
      return { valueOf: () => (seen.push('number'), 2) }
    },
    get has() {
      seen.push('has')
      return () => true
    },
    get keys() {
      seen.push('keys')
      return () => [2, 3].values()
    },
  }
  t.deepEqual(s.intersection(like), new Set([2, 3]))
  t.deepEqual(seen, ['size', 'number', 'has', 'keys'])
  const callable = Object.assign(() => 1, { size: 1, has: () => true, keys: () => [1].values() })
  Object.defineProperty(callable, 'size', { value: 1 })
  t.deepEqual(s.difference(callable), new Set([2, 3]))
  const never = () => t.fail('it must not be called')
  t.throws(() => s.union({ size: NaN, has: never, keys: never }), { instanceOf: TypeError })
  t.throws(() => s.union({ size: 1n, has: never, keys: never }), { instanceOf: TypeError })
  t.throws(() => s.union({ size: 1, has: 1, keys: never }), { instanceOf: TypeError })
  t.throws(() => s.union({ size: 1, has: never, keys: () => 1 }), { instanceOf: TypeError })
  t.throws(() => s.union({ size: 1, has: never, keys: () => ({ next: () => 1 }) }), { instanceOf: TypeError })
  const map = fresh(new Map([[1, 'a']]))
  t.true(s.isSupersetOf(map))
})

test('getOrInsertComputed: what its callback stores is overwritten, what it throws changes nothing', (t) => {
  const m = fresh(new Map())
  t.is(
    m.getOrInsertComputed('k', (key) => {
      m.set(key, 'inside')
      return 'computed'
    }),
    'computed',
  )
  t.is(m.get('k'), 'computed')
  const failing = () => {
    throw new Error('no')
  }
  t.throws(() => m.getOrInsertComputed('x', failing), { message: 'no' })
  t.false(m.has('x'))
  m.getOrInsertComputed(-0, (key) => t.is(Object.is(key, 0), true))
})

test('methods have the lengths and names that the language gives', (t) => {
  for (const [Shared, Plain] of [
    [SharedMap, Map],
    [SharedSet, Set],
  ]) {
    for (const key of Reflect.ownKeys(Plain.prototype)) {
      if (key === 'constructor' || key === Symbol.toStringTag) continue
      const [ours, theirs] = [Shared, Plain].map((C) => Object.getOwnPropertyDescriptor(C.prototype, key))
      const [f, g] = [ours, theirs].map((d) => d.value ?? d.get)
      t.is(f.length, g.length, String(key))
      t.is(f.name, g.name, String(key))
      t.is(ours.enumerable, theirs.enumerable)
      t.throws(() => new f(), { instanceOf: TypeError })
    }
  }
  const a = fresh([])
  for (const key of [
    'push',
    'pop',
    'shift',
    'unshift',
    'splice',
    'sort',
    'reverse',
    'fill',
    'copyWithin',
    'at',
    'values',
  ]) {
    t.is(a[key].length, Array.prototype[key].length, key)
    t.is(a[key].name, Array.prototype[key].name, key)
  }
})

test('destructuring, optional chaining, defaults, JSON with replacer and indent', (t) => {
  const o = fresh({ a: { b: [1, { c: 2 }] }, n: null, when: new Date(0) })
  const {
    a: {
      b: [first, { c, d = 'default' }],
    },
    none: { x } = { x: 1 },
    ...rest
  } = o
  t.deepEqual([first, c, d, x], [1, 2, 'default', 1])
  t.deepEqual(Object.keys(rest), ['n', 'when'])
  t.is(o.n?.x, undefined)
  t.is(o.a?.b?.at(-1)?.c, 2)
  t.is(o.none?.(), undefined)
  for (const indent of [undefined, 2, '\t']) {
    t.is(JSON.stringify(o, null, indent), JSON.stringify(snapshot(o), null, indent))
  }
  t.is(JSON.stringify(o, ['a', 'b']), '{"a":{"b":[1,{}]}}')
  const doubled = (_, v) => (typeof v === 'number' ? 2 * v : v)
  t.is(JSON.stringify(o.a, doubled), '{"b":[2,{"c":4}]}')
  if (Object.groupBy !== undefined) {
    const groups = Object.groupBy(fresh([1, 2, 3]), (n) => (n % 2 === 1 ? 'odd' : 'even'))
    t.deepEqual({ ...groups }, { odd: [1, 3], even: [2] })
  }
})
