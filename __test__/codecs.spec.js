// Instances of classes with a codec are stored by value: a fresh one at each reading, in every process.
import test from 'ava'
import { inspect } from 'node:util'
import Complex from 'complex.js'
import Decimal from 'decimal.js'
import { Temporal as Polyfill } from 'temporal-polyfill'
import { Heap, isShared, registerCodec, register, snapshot } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

const Temporal = globalThis.Temporal ?? Polyfill
const byString = (Class, name) => [Class, { name, encode: (x) => x.toString(), decode: (s) => Class.from(s) }]
const kinds = ['PlainDate', 'PlainDateTime', 'ZonedDateTime', 'Instant', 'Duration', 'PlainYearMonth']
for (const kind of kinds) registerCodec(...byString(Temporal[kind], `Temporal.${kind}`))
registerCodec(Decimal, { name: 'Decimal', encode: (x) => x.toString(), decode: (s) => new Decimal(s) })
registerCodec(Complex, { name: 'Complex', encode: ({ re, im }) => [re, im], decode: ([re, im]) => new Complex(re, im) })

/** The same in another process. */
const registered = `
  const Decimal = (await import('decimal.js')).default
  const Complex = (await import('complex.js')).default
  const Temporal = globalThis.Temporal ?? (await import('temporal-polyfill')).Temporal
  registerCodec(Decimal, { name: 'Decimal', encode: (x) => x.toString(), decode: (s) => new Decimal(s) })
  registerCodec(Complex, { name: 'Complex', encode: ({ re, im }) => [re, im], decode: ([re, im]) => new Complex(re, im) })
  for (const kind of ${JSON.stringify(kinds)})
    registerCodec(Temporal[kind], { name: 'Temporal.' + kind, encode: (x) => x.toString(), decode: (s) => Temporal[kind].from(s) })
`

const heap = Heap.create()
test.after.always(() => heap.close())
const root = heap.root

test('decimals, complex numbers and dates are exact and fresh at each reading', (t) => {
  const price = new Decimal('0.1').plus('0.2')
  root.price = price
  t.true(root.price instanceof Decimal)
  t.true(root.price.equals('0.3'))
  t.not(root.price, root.price)
  t.false(isShared(root.price))
  root.z = new Complex(1, -2)
  t.deepEqual([root.z.re, root.z.im], [1, -2])
  root.z.re = 100
  t.is(root.z.re, 1, 'changing what was read changes nothing stored')
  const when = {
    PlainDate: Temporal.PlainDate.from('2024-02-29'),
    PlainDateTime: Temporal.PlainDateTime.from('2024-02-29T12:30:00.123456789'),
    ZonedDateTime: Temporal.ZonedDateTime.from('2024-02-29T12:30:00+01:00[Europe/Paris]'),
    Instant: Temporal.Instant.from('2024-02-29T12:30:00.000000001Z'),
    Duration: Temporal.Duration.from('P1Y2M3DT4H5M6.007S'),
    PlainYearMonth: Temporal.PlainYearMonth.from('2024-02'),
  }
  root.when = when
  for (const kind of kinds) {
    t.true(root.when[kind] instanceof Temporal[kind], kind)
    t.is(root.when[kind].toString(), when[kind].toString())
  }
  root.price = root.price.times(2)
  t.is(root.price.toString(), '0.6')
  t.deepEqual(heap.verify(), [])
})

test('they stand anywhere: elements, map keys and values, sets, frozen things, messages, transactions', (t) => {
  const one = new Decimal(1)
  const live = heap.share({ list: [one, one], map: new Map([[one, one]]), set: new Set([one]) })
  t.is(live.list[1].toString(), '1')
  t.is([...live.map.keys()][0].toString(), '1')
  t.false(live.map.has(one), 'a key by value equals nothing, as a Date')
  t.is([...live.set][0].toString(), '1')
  const frozen = heap.share(Object.freeze({ deep: Object.freeze([one, { live: one }]) }))
  t.is(frozen.deep[0].toString(), '1')
  t.is(frozen.deep[1].live.toString(), '1')
  const channel = heap.channel('decimals')
  channel.tryPut(one)
  t.is(channel.tryTake().toString(), '1')
  t.throws(() =>
    heap.transaction(() => {
      root.inside = new Decimal(5)
      t.is(root.inside.toString(), '5')
      throw new Error('undo')
    }),
  )
  t.false('inside' in root)
  t.is(new Map(snapshot(live).map).size, 1)
  t.true(snapshot(live).list[0] instanceof Decimal)
  for (let i = 0; i < 100; i++) live.list.push(new Decimal(i))
  t.is(live.list.reduce((sum, x) => sum.plus(x), new Decimal(0)).toString(), '4952')
  live.list.splice(0, 100)
  t.is(live.list.pop().toString(), '99')
  t.deepEqual(heap.verify(), [])
})

test('what a codec makes may hold anything that can be stored, and live objects stay live', (t) => {
  class Box {
    constructor(inside) {
      this.inside = inside
    }
  }
  registerCodec(Box, {
    name: 'Box',
    encode: (box) => ({ inside: box.inside }),
    decode: (stored) => new Box(stored.inside),
  })
  const live = heap.share({ n: 1 })
  const bytes = heap.alloc(Uint8Array, 4)
  const cycle = { list: [1] }
  cycle.me = cycle
  const all = [live, bytes, cycle, new Map([[{}, new Set([1n])]]), new Box(new Decimal(2)), Object.freeze({ f: live })]
  root.box = new Box(all)
  const { inside } = root.box
  t.is(inside[0], live)
  inside[1][2] = 7
  t.is(bytes[2], 7)
  t.is(inside[2].me, inside[2])
  t.false(isShared(inside[2]), 'new containers are plain copies')
  t.true(inside[3] instanceof Map)
  t.is(inside[4].inside.toString(), '2')
  t.true(Object.isFrozen(inside[5]))
  t.is(inside[5].f, live)
  inside[2].list.push(2)
  t.deepEqual(root.box.inside[2].list, [1])
  root.boxed = Object.freeze([new Box(live)])
  t.is(root.boxed[0].inside, live)
  // in place of another value of the same kind
  root.box = new Box(root.box)
  t.is(root.box.inside.inside[0], live)
  t.deepEqual(heap.verify(), [])
})

test('what encode throws is thrown, what it gives must be storable, and nothing is stored', (t) => {
  class Bad {
    constructor(give) {
      this.give = give
    }
  }
  registerCodec(Bad, { name: 'Bad', encode: (bad) => bad.give(), decode: (x) => new Bad(x) })
  const boom = new Error('boom')
  const throwing = new Bad(() => {
    throw boom
  })
  t.is(
    t.throws(() => (root.bad = throwing)),
    boom,
  )
  t.throws(() => (root.bad = { list: [1, new Bad(() => ({ f() {} }))] }), {
    code: 'ERR_COHEAP_UNSUPPORTED_TYPE',
    message: 'a function cannot be stored: $.list[1].f',
  })
  t.throws(() => (root.bad = new Bad(() => Promise.resolve())), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  const self = new Bad(() => self)
  t.throws(() => (root.bad = self), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE', message: /holds itself/ })
  t.false('bad' in root)
  root.worse = new Bad(() => 1)
  t.is(root.worse.give, 1)
  class Unreadable {}
  registerCodec(Unreadable, {
    name: 'Unreadable',
    encode: () => 1,
    decode() {
      throw boom
    },
  })
  root.unreadable = new Unreadable()
  root.around = Object.freeze([new Unreadable()])
  t.is(
    t.throws(() => root.unreadable),
    boom,
  )
  t.is(
    t.throws(() => root.around),
    boom,
  )
})

test('encode and decode may use the heap themselves', (t) => {
  class Logged {
    constructor(text) {
      this.text = text
    }
  }
  root.log = ['a long text that does not fit in a cell']
  registerCodec(Logged, {
    name: 'Logged',
    encode(x) {
      root.log.push(`stored ${x.text}`)
      return { text: x.text, so: root.log.slice() }
    },
    decode(stored) {
      root.log.push(`read ${stored.text} after ${root.log.map((line) => line.length).join()}`)
      return new Logged(stored.text)
    },
  })
  root.several = [
    new Logged('one long enough'),
    'a string between the two',
    new Logged('two long enough'),
    { last: true },
  ]
  const [one, between, two, last] = root.several
  t.deepEqual(
    [one.text, between, two.text, last.last],
    ['one long enough', 'a string between the two', 'two long enough', true],
  )
  const [first, middle, second] = root.several.slice()
  t.deepEqual([first.text, middle, second.text], ['one long enough', 'a string between the two', 'two long enough'])
  root.f = Object.freeze({ a: new Logged('x'.repeat(50)), b: 'y'.repeat(50), c: Object.freeze(['z'.repeat(50)]) })
  t.deepEqual([root.f.a.text, root.f.b, root.f.c[0]], ['x'.repeat(50), 'y'.repeat(50), 'z'.repeat(50)])
  t.is(root.log.filter((line) => line.startsWith('stored')).length, 3)
})

test('a trap inside of something frozen may use the heap while it is encoded', (t) => {
  root.texts = ['x'.repeat(1000), 'y'.repeat(1000)]
  const proxy = new Proxy(
    { a: 1 },
    {
      ownKeys: (target) => {
        t.is(root.texts.slice().join('').length, 2000)
        return Reflect.ownKeys(target)
      },
    },
  )
  root.mixed = ['before', Object.freeze({ in: Object.freeze([proxy]) }), 'after']
  t.is(root.mixed[0], 'before')
  t.is(root.mixed[1].in[0].a, 1)
  t.is(root.mixed[2], 'after')
})

test('a subclass has a codec of its own, or is refused', (t) => {
  class Base {
    constructor(x) {
      this.x = x
    }
  }
  class Derived extends Base {}
  class Third extends Base {}
  registerCodec(Base, { name: 'Base', encode: ({ x }) => x, decode: (x) => new Base(x) })
  registerCodec(Derived, { name: 'Derived', encode: ({ x }) => -x, decode: (x) => new Derived(-x) })
  root.base = new Base(1)
  root.derived = new Derived(2)
  t.is(root.base.constructor, Base)
  t.is(root.derived.constructor, Derived)
  t.is(root.derived.x, 2)
  t.throws(() => (root.third = new Third(3)), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE', message: /Third/ })
  class Stack extends Array {}
  t.throws(() => (root.stack = Stack.of(1)), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  registerCodec(Stack, { name: 'Stack', encode: (s) => [...s], decode: (a) => Stack.from(a) })
  root.stack = Stack.of(1, 2)
  t.true(root.stack instanceof Stack)
  t.deepEqual([...root.stack], [1, 2])
  registerCodec(URLSearchParams, {
    name: 'URLSearchParams',
    encode: (p) => p.toString(),
    decode: (s) => new URLSearchParams(s),
  })
  root.query = new URLSearchParams('a=1&b=2')
  t.is(root.query.get('b'), '2')
})

test('what cannot be registered is refused', (t) => {
  const code = 'ERR_COHEAP_INVALID_ARGUMENT'
  const codec = { name: 'X', encode: (x) => x, decode: (x) => x }
  class A {}
  registerCodec(A, { ...codec, name: 'A' })
  registerCodec(A, { ...codec, name: 'A' })
  t.throws(() => registerCodec(A, { name: 'A', encode: () => 1, decode: () => 2 }), { code, message: /another codec/ })
  t.throws(() => registerCodec(A, { ...codec, name: 'B' }), { code, message: /under the name A/ })
  t.throws(() => registerCodec(class B {}, { ...codec, name: 'A' }), { code, message: /another class/ })
  t.throws(() => register(class B {}, { name: 'A' }), { code, message: /another class/ })
  t.throws(() => register(A), { code, message: /codec/ })
  class C {}
  register(C)
  t.throws(() => registerCodec(C, { ...codec, name: 'C' }), { code, message: /as a class/ })
  t.throws(() => registerCodec(class D {}, { ...codec, name: 'C' }), { code })
  t.throws(() => registerCodec(class D {}, { encode: codec.encode, decode: codec.decode }), { code })
  t.throws(() => registerCodec(class D {}, { name: 'D', encode: codec.encode }), { code })
  t.throws(() => registerCodec(class D {}), { code })
  for (const Class of [Date, Map, Uint8Array, Buffer, Object]) t.throws(() => registerCodec(Class, codec), { code })
})

test('another process reads them with the same codecs, and says which are missing', async (t) => {
  const b = await puppet(heap.name)
  root.there = {
    d: new Decimal('1.50'),
    z: new Complex(0, 1),
    when: Temporal.PlainDate.from('2024-02-29'),
    f: Object.freeze([new Decimal(3)]),
  }
  const missing = { code: 'ERR_COHEAP_UNREGISTERED_CLASS', message: /Decimal is not registered/ }
  await t.throwsAsync(
    b.run(({ root }) => root.there.d),
    missing,
  )
  await t.throwsAsync(
    b.run(({ root, snapshot }) => snapshot(root.there)),
    missing,
  )
  t.is(
    await b.run(async ({ root }) => (await import('node:util')).inspect(root.there)),
    `Shared {
  d: [class Decimal not registered],
  z: [class Complex not registered],
  when: [class Temporal.PlainDate not registered],
  f: [ [class Decimal not registered] ]
}`,
  )
  const run = `async ({ root, registerCodec }) => {
    ${registered}
    root.there.d = root.there.d.plus(1)
    root.there.z = root.there.z.mul(new Complex(0, 1))
    root.there.when = root.there.when.add({ days: 1 })
    return [root.there.d instanceof Decimal, root.there.f[0].toString()]
  }`
  t.deepEqual(await b.run(run), [true, '3'])
  t.is(root.there.d.toString(), '2.5')
  t.deepEqual([root.there.z.re, root.there.z.im], [-1, 0])
  t.is(root.there.when.toString(), '2024-03-01')
  await b.end()
})

test('values that were read are shown as their class shows them', (t) => {
  t.is(inspect(heap.share({ z: new Complex(1, 2) })), `Shared { z: ${inspect(new Complex(1, 2))} }`)
})

test('a value that its own encoding holds is refused by its place', (t) => {
  class Ring {
    constructor(next) {
      this.next = next
    }
  }
  registerCodec(Ring, { name: 'Ring', encode: ({ next }) => ({ next }), decode: ({ next }) => new Ring(next) })
  const ring = new Ring()
  ring.next = [new Ring(Object.freeze({ ring }))]
  t.throws(() => heap.share({ ring }), {
    code: 'ERR_COHEAP_UNSUPPORTED_TYPE',
    message: 'a value of the codec Ring that holds itself cannot be stored: $.ring.next[0].next.ring',
  })
  const other = new Ring(1)
  t.is(heap.share([new Ring([other, other])])[0].next[1].next, 1)
})
