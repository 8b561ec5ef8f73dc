// Structs: instances with a fixed layout, whose fields are accessors on the prototype.
import test from 'ava'
import assert from 'node:assert'
import { execFile } from 'node:child_process'
import { inspect, promisify } from 'node:util'
import { Heap, isShared, register, retry, snapshot, struct } from '../dist/index.js'
import { coheap } from './fixtures/command.js'
import { EVERY_TYPE, INVALID, WRONG, forEachWrapped } from './fixtures/fields.js'
import { puppet } from './fixtures/puppet.js'

const FIELDS = { x: 'f64', y: 'f64', hits: 'i32', label: 'string', next: 'any' }
const Point = struct('Point', FIELDS)
const All = struct('All', EVERY_TYPE)

const heap = Heap.create()
test.after.always(() => heap.close())
const root = heap.root
const both = (init) => [new Point(init), heap.share(new Point(init))]

test('absent fields are 0, false, the empty string or undefined, before sharing and after', (t) => {
  const local = new All()
  for (const all of [local, heap.share(local)]) {
    t.true(all instanceof All)
    for (const key of Object.keys(EVERY_TYPE)) {
      const zero = { bool: false, i64: 0n, u64: 0n, string: '', any: undefined }
      t.is(all[key], key in zero ? zero[key] : 0, key)
    }
  }
  t.false(isShared(local))
  t.is(new Point({ x: undefined }).x, 0)
})

test('an instance is live, in every place, with an identity, cycles and methods of the prototype', (t) => {
  const a = new Point({ x: 1, label: 'a' })
  a.next = a
  t.is(a.next, a)
  const shared = heap.share(a)
  t.true(isShared(shared))
  t.not(shared, a)
  t.is(shared.next, shared)
  root.point = shared
  root.list = [shared, new Point({ x: 2 })]
  root.map = new Map([
    ['k', shared],
    [shared, new Set([shared])],
  ])
  t.is(root.point, shared)
  t.is(root.list[0], shared)
  t.is(root.list[1].x, 2)
  t.is(root.map.get('k'), shared)
  t.true(root.map.get(shared).has(shared))
  shared.x += 41
  shared.hits--
  shared.label = 'a longer text than a cell holds'
  t.is(root.list[0].x, 42)
  t.is(root.point.hits, -1)
  t.is(root.point.label, 'a longer text than a cell holds')
  shared.next = { list: [1] }
  t.is(root.point.next.list.push(2), 2)
  t.true(isShared(shared.next))
  shared.next = undefined
  t.is(shared.next, undefined)
  t.is(a.x, 1, 'what was copied in stays as it was')
  t.is(Object.getPrototypeOf(shared), Point.prototype)
  Point.prototype.norm = function () {
    return Math.hypot(this.x, this.y)
  }
  shared.y = 56
  t.is(shared.norm(), 70)
  delete Point.prototype.norm
  t.deepEqual(heap.verify(), [])
})

test('numbers and bigints wrap as typed arrays do, a wrong kind of value is refused by struct and field', (t) => {
  for (const all of [new All(), heap.share(new All())]) {
    forEachWrapped((key, value, wrapped) => {
      all[key] = value
      t.is(all[key], wrapped, `${key} ${value}`)
      t.is(new All({ [key]: value })[key], wrapped)
    })
    for (const [key, value] of WRONG) {
      const before = all[key]
      const error = t.throws(() => (all[key] = value), INVALID)
      t.regex(error.message, new RegExp(`field ${key} of a All`))
      t.is(all[key], before)
    }
  }
  t.throws(() => new Point({ label: 5 }), {
    ...INVALID,
    message: 'the field label of a Point takes a string (string), not number',
  })
  t.throws(() => (heap.share(new Point()).next = () => 1), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.throws(() => heap.share(new Point({ next: [Symbol('s')] })), {
    code: 'ERR_COHEAP_UNSUPPORTED_TYPE',
    message: /\$\.next\[0\]$/,
  })
})

test('there are no other properties', (t) => {
  for (const p of both({ x: 1 })) {
    t.deepEqual(Object.keys(p), [])
    t.deepEqual({ ...p }.x, undefined)
    t.throws(() => (p.foo = 1), { instanceOf: TypeError, message: /foo/ })
    t.throws(() => Object.defineProperty(p, 'x', { value: 2 }), { instanceOf: TypeError })
    t.true('x' in p && !Object.hasOwn(p, 'x'))
    t.is(p.foo, undefined)
    t.throws(() => Object.setPrototypeOf(p, {}), { instanceOf: TypeError })
  }
  t.throws(() => new Point({ z: 1 }), { ...INVALID, message: 'a Point has no field z' })
  t.throws(() => new Point(5), INVALID)
  t.throws(() => Point(), { instanceOf: TypeError })
  t.throws(() => Point.prototype.x, { instanceOf: TypeError })
  t.throws(() => Object.create(heap.share(new Point())).x, { instanceOf: TypeError })
  const x = Object.getOwnPropertyDescriptor(Point.prototype, 'x')
  for (const all of [new All(), heap.share(new All())]) {
    t.throws(() => x.get.call(all), { instanceOf: TypeError })
    t.throws(() => x.set.call(all, 1), { instanceOf: TypeError })
  }
  t.throws(() => heap.share(Object.create(Point.prototype)), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  const clone = (value) => structuredClone(value)
  t.throws(() => clone(heap.share(new Point())), { name: 'DataCloneError', any: true })
})

test('toJSON, console.log and deep comparison see the fields', (t) => {
  const [local, live] = both({ x: 1, label: 'l', next: [2] })
  const json = '{"x":1,"y":0,"hits":0,"label":"l","next":[2]}'
  t.is(JSON.stringify(local), json)
  t.is(JSON.stringify(live), json)
  t.is(inspect(local), "Point { x: 1, y: 0, hits: 0, label: 'l', next: [ 2 ] }")
  t.is(inspect(live), "Shared Point { x: 1, y: 0, hits: 0, label: 'l', next: Shared [ 2 ] }")
  t.is(inspect({ live }, { depth: 0 }), '{ live: [Shared Point] }')
  for (const p of [local, live]) {
    p.next = p
    t.regex(inspect(p, { depth: null }), /^<ref \*1> (?:Shared )?Point \{[^]*next: \[Circular \*1\]/)
    p.next = undefined
    t.true(inspect(Object.getPrototypeOf(p)).length > 0)
  }
  assert.deepStrictEqual(local, new Point({ x: 1, label: 'l' }))
  assert.deepStrictEqual(live, local)
  assert.notDeepStrictEqual(live, new Point({ x: 2, label: 'l' }))
  assert.deepStrictEqual(new Point(live), local, 'an instance can be made of another')
})

test('what is shown for comparison only is not stored when it is copied along', (t) => {
  const shared = heap.share({ point: new Point({ x: 1 }), map: new Map([[1, 2]]), set: new Set([3]) })
  for (const member of [shared.point, shared.map, shared.set, new Point()]) {
    const live = heap.share({ list: [], copy: { ...member, more: 1 } })
    Object.assign(live, member)
    Object.assign(live.list, member)
    t.deepEqual(Reflect.ownKeys(live.copy), ['more'])
    t.deepEqual(Reflect.ownKeys(live), ['list', 'copy'])
    t.deepEqual(Reflect.ownKeys(live.list), ['length'])
  }
})

test('a snapshot is a plain ordinary instance', (t) => {
  const live = heap.share(new Point({ x: 7, next: new Point({ x: 8 }) }))
  live.next.next = live
  const copy = snapshot(live)
  t.true(copy instanceof Point && copy.next instanceof Point)
  t.false(isShared(copy) || isShared(copy.next))
  t.is(copy.next.next, copy)
  copy.x = 9
  t.is(live.x, 7)
  t.throws(() => (copy.y = 'no'), INVALID)
  t.throws(() => (copy.foo = 1), { instanceOf: TypeError })
  // a local instance with live members
  const outer = snapshot(new Point({ x: 1, next: live }))
  t.true(outer instanceof Point && outer.next instanceof Point && !isShared(outer.next))
  t.is(outer.next.x, 7)
})

test('transactions see their own writes, and undo', (t) => {
  const p = heap.share(new Point({ x: 1, label: 'before' }))
  t.throws(
    () =>
      heap.transaction(() => {
        p.x = 2
        p.label = 'a text that is not inline'
        p.next = new Point({ x: 3 })
        t.is(p.x, 2)
        t.is(p.label, 'a text that is not inline')
        p.next.x++
        t.is(p.next.x, 4)
        t.deepEqual(p.toJSON().x, 2)
        throw new Error('undo')
      }),
    { message: 'undo' },
  )
  t.is(p.x, 1)
  t.is(p.label, 'before')
  t.is(p.next, undefined)
  let made
  t.throws(() =>
    heap.transaction(() => {
      made = heap.share(new Point({ x: 5 }))
      t.is(made.x, 5)
      throw new Error('undo')
    }),
  )
  t.throws(() => made.x, { code: 'ERR_COHEAP_DESTROYED' })
  const tx = heap.begin()
  tx.run(() => (p.x = 10))
  t.is(p.x, 1)
  tx.commit()
  t.is(p.x, 10)
  t.deepEqual(heap.verify(), [])
})

test('destroy, ref and deref', (t) => {
  const p = heap.share(new Point({ x: 1, label: 'a text that is not inline' }))
  const ref = heap.ref(p)
  t.is(heap.deref(ref), p)
  root.gone = p
  heap.destroy(p)
  for (const use of [
    () => p.x,
    () => p.label,
    () => (p.x = 1),
    () => (p.next = []),
    () => p.toJSON(),
    () => heap.ref(p),
  ]) {
    t.throws(use, { code: 'ERR_COHEAP_DESTROYED' })
  }
  t.throws(() => heap.deref(ref), { code: 'ERR_COHEAP_DESTROYED' })
  t.is(inspect(p), '[destroyed]')
  t.is(inspect({ list: [p] }), '{ list: [ [destroyed] ] }')
  root.gone = new Point()
  t.is(root.gone.x, 0)
  t.deepEqual(heap.verify(), [])
})

test('a frozen instance is by value, and really frozen', (t) => {
  const frozen = Object.freeze(new Point({ x: 3, next: new Point({ x: 4 }) }))
  t.true(Object.isFrozen(frozen))
  t.false(Object.isFrozen(new Point()))
  t.throws(() => (frozen.x = 1), { code: 'ERR_COHEAP_READ_ONLY' })
  root.frozen = frozen
  root.frozenList = Object.freeze([frozen, Object.freeze(new Point({ x: 5 }))])
  for (const p of [root.frozen, root.frozenList[0]]) {
    t.true(p instanceof Point && Object.isFrozen(p))
    t.false(isShared(p))
    t.is(p.x, 3)
    t.throws(() => (p.x = 1), { code: 'ERR_COHEAP_READ_ONLY' })
    t.true(isShared(p.next))
    p.next.x++
  }
  t.is(root.frozenList[1].x, 5)
  const copy = snapshot(root).frozen
  t.true(copy instanceof Point && Object.isFrozen(copy))
})

test('more fields than stand in the object itself', (t) => {
  const fields = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`f${i}`, i % 2 === 0 ? 'f64' : 'string']))
  const Wide = struct('Wide', fields)
  const wide = heap.share(new Wide())
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 64; i++) wide[`f${i}`] = i % 2 === 0 ? i + round : `text number ${i + round}`
    for (let i = 0; i < 64; i++) t.is(wide[`f${i}`], i % 2 === 0 ? i + round : `text number ${i + round}`)
  }
  t.is(snapshot(wide).f63, 'text number 64')
  t.throws(() => struct('Wider', { ...fields, one: 'f64' }), INVALID)
  t.deepEqual(heap.verify(), [])
  const Empty = struct('Empty', {})
  t.true(heap.share(new Empty()) instanceof Empty)
})

test('what cannot be declared is refused', (t) => {
  t.is(struct('Point', { ...FIELDS }), Point, 'the same again is the same')
  const { x, ...rest } = FIELDS
  for (const [name, fields] of [
    ['Point', { ...FIELDS, z: 'f64' }],
    ['Point', { ...rest, x }],
    ['Point', { ...FIELDS, x: 'f32' }],
    ['', FIELDS],
    [5, FIELDS],
    ['x'.repeat(256), FIELDS],
    ['Bad', { x: 'double' }],
    ['Bad', { constructor: 'f64' }],
    ['Bad', { toJSON: 'f64' }],
    ['Bad', { 5: 'f64' }],
    ['Bad', null],
    ['Bad', undefined],
  ]) {
    t.throws(() => struct(name, fields), INVALID, `${name} ${inspect(fields)}`)
  }
  class Named {}
  register(Named)
  t.throws(() => struct('Named', FIELDS), INVALID)
  t.throws(() => register(class {}, { name: 'Point' }), INVALID)
  t.throws(() => register(class {}, { name: 'struct ["Point",{}]' }), INVALID)
})

test('a class that extends a struct is what its instances are, once it is registered', (t) => {
  class Unregistered extends Point {}
  t.is(new Unregistered({ x: 1 }).x, 1)
  t.throws(() => heap.share(new Unregistered()), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE', message: /Unregistered/ })
  t.throws(() => register(Unregistered), { ...INVALID, message: /exist already/ })

  const Base = struct('Vector', { x: 'f64', y: 'f64' })
  class Vector extends Base {
    static of(x, y) {
      return new Vector({ x, y })
    }
    get length() {
      return Math.hypot(this.x, this.y)
    }
  }
  t.throws(() => register(Vector, { fields: { x: 'f64' } }), INVALID)
  t.throws(() => register(Vector, { name: 'Other' }), INVALID)
  register(Vector)
  register(Vector)
  t.throws(() => register(class extends Base {}), INVALID)
  root.vector = Vector.of(3, 4)
  t.true(root.vector instanceof Vector)
  t.is(root.vector.length, 5)
  t.true(snapshot(root.vector) instanceof Vector)
  t.is(heap.share(new Base({ x: 6, y: 8 })).length, 10, 'what the struct itself makes is one too')
  class Extra extends struct('Extra', { x: 'f64' }) {
    more = 1
  }
  t.throws(() => new Extra(), { instanceOf: TypeError })
})

test('another process: live in both, unregistered and other layouts are named', async (t) => {
  const other = await puppet(heap.name)
  root.theirs = new Point({ x: 1, label: 'one', next: new Map([['k', new Point({ x: 2 })]]) })
  root.these = Object.freeze([root.theirs])
  const met = await other.run(({ root, struct }, FIELDS) => {
    const errors = []
    const attempt = (f) => {
      try {
        f()
        errors.push('fine')
      } catch (error) {
        errors.push(`${error.code} ${error.message}`)
      }
    }
    attempt(() => root.theirs)
    // among others it is there, and cannot be used
    const [stand] = root.these
    attempt(() => stand.x)
    attempt(() => (stand.x = 1))
    attempt(() => JSON.stringify(stand))
    attempt(() => struct('Point', { ...FIELDS, more: 'f64' }))
    attempt(() => root.theirs)
    return errors
  }, FIELDS)
  t.is(met[0], 'ERR_COHEAP_UNREGISTERED_CLASS the struct Point is not declared in this thread: call struct first')
  for (const error of met.slice(1, 4)) t.is(error, met[0])
  t.is(met[4], 'fine', 'it is declared there with another layout')
  t.regex(met[5], /ERR_COHEAP_INVALID_ARGUMENT .*struct Point have other fields/)
  await other.end()

  const third = await puppet(heap.name)
  const seen = await third.run(({ root, struct, keep }, FIELDS) => {
    const [early] = root.these
    const Point = struct('Point', FIELDS)
    const p = root.theirs
    const before = [p instanceof Point, p.x, p.label, p.next.get('k').x, p === early]
    p.x = 100
    p.hits = 2 ** 31
    p.label = 'changed there'
    p.next = new Point({ x: 200 })
    keep.p = p
    return before
  }, FIELDS)
  t.deepEqual(seen, [true, 1, 'one', 2, true])
  const p = root.theirs
  t.deepEqual([p.x, p.hits, p.label, p.next.x], [100, -(2 ** 31), 'changed there', 200])
  heap.channel('points').tryPut(new Point({ x: 300 }))
  t.is(await third.run(async ({ heap }) => (await heap.channel('points').take()).x), 300)
  // both write at once: nothing is lost
  p.hits = 0
  const count = (heap, p) => {
    for (let i = 0; i < 2000; i++) heap.transaction(() => p.hits++)
  }
  const done = third.run(({ heap, keep }) => {
    for (let i = 0; i < 2000; i++) heap.transaction(() => keep.p.hits++)
  })
  count(heap, p)
  await done
  t.is(p.hits, 4000)
  await third.end()
  t.deepEqual(heap.verify(), [])
})

test('accessors are evaluated for each struct, where code from strings is forbidden too', async (t) => {
  const program = `
    import { Heap, struct } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
    const heap = Heap.create()
    const classes = Array.from({ length: 9 }, (_, i) => struct('S' + i, { x: 'f64', next: 'any' }))
    const live = classes.map((S, i) => heap.share(new S({ x: i })))
    let sum = 0
    for (let n = 0; n < 1000; n++) for (const o of live) sum += o.x++
    try {
      Object.getOwnPropertyDescriptor(classes[0].prototype, 'x').get.call(live[1])
    } catch (error) {
      console.log(sum, live.map(({ x }) => x).join(), error instanceof TypeError, error.stack)
    }
    heap.close()`
  const args = ['--disallow-code-generation-from-strings', '--input-type=module', '--eval', program]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  t.regex(stdout, /^4531500 1000,1001,.*,1008 true TypeError: .*[^]*\(coheap:struct-fields:\d+:\d+\)/)
})

test('a reader never sees half of what a transaction writes', async (t) => {
  const p = heap.share(new Point())
  root.pair = p
  const writer = await puppet(heap.name)
  const written = writer.run(({ heap, root, struct }, FIELDS) => {
    struct('Point', FIELDS)
    const p = root.pair
    let i = 0
    while (p.next !== true) {
      i++
      heap.transaction(() => {
        p.x = i
        p.y = i
        p.label = `this is text number ${i}`
      })
    }
    return i
  }, FIELDS)
  await heap.transactionAsync(() => p.x > 0 || retry())
  let last = 0
  for (let i = 0; i < 300_000; i++) {
    // x is written with y: whoever sees the one and then looks at the other sees it at least as new
    const x = p.x
    const y = p.y
    if (!(x >= last && y >= x)) t.fail(`${last} ${x} ${y}`)
    last = y
    if (i % 100 === 0) {
      const { x, y, label } = p.toJSON()
      if (x !== y || label !== `this is text number ${x}`) t.fail(`${x} ${y} ${label}`)
    }
  }
  p.next = true
  t.true((await written) >= last)
  await writer.end()
})

test('the command line shows the fields of structs that it does not know', async (t) => {
  root.shown = new Point({ x: 1, next: Object.freeze(new Point({ label: 'in ice' })) })
  const run = async (...args) => (await coheap(...args)).stdout
  const all = await run('inspect', heap.name, 'shown')
  t.regex(all, /shown: Point, 5 keys/)
  t.regex(all, /├─ x: 1\n/)
  t.regex(all, /└─ next: frozen Point, 5 keys/)
  t.regex(all, /label: "in ice"/)
  t.regex(await run('inspect', heap.name, 'shown.next.label'), /"in ice"/)
})
