// The table "What can be stored", in both directions between two processes: each makes every value itself, the other
// reads it live and compares it exactly with one that it has made.
import test from 'ava'
import { Heap, snapshot } from '../dist/index.js'
import { difference } from './fixtures/difference.js'
import { puppet } from './fixtures/puppet.js'
import { Point, VALUES } from './fixtures/values.js'

const heap = Heap.create(undefined, { maxSize: '512MiB' })
const { root } = heap
const peer = await puppet(heap.name)
await peer.run(
  async ({ keep }, values, differences) => {
    keep.values = (await import(values)).VALUES
    keep.difference = (await import(differences)).difference
  },
  new URL('fixtures/values.js', import.meta.url).href,
  new URL('fixtures/difference.js', import.meta.url).href,
)
test.after.always(async () => {
  await peer.end()
  heap.close()
})
const toThem = heap.channel('to-them')
const toUs = heap.channel('to-us')

for (const [i, [name, make, expected = make]] of VALUES.entries()) {
  test.serial(`${name.slice(0, 60)} (${i})`, async (t) => {
    // by property
    root.ours = make()
    t.is(difference(root.ours, expected()), undefined, 'what this process has stored')
    const found = await peer.run(({ root, keep }, i) => {
      const [, make, expected = make] = keep.values[i]
      const found = keep.difference(root.ours, expected())
      root.theirs = make()
      // and by reference, or as a copy of what is by value
      root.back = root.ours
      return found
    }, i)
    t.is(found, undefined, 'what the other process reads')
    t.is(difference(root.theirs, expected()), undefined, 'what the other process has stored')
    t.is(difference(root.back, expected()), undefined, 'what the other process has handed back')

    // by channel, which has no undefined
    if (make() !== undefined) {
      toThem.tryPut(make())
      const taken = await peer.run(({ heap, keep }, i) => {
        const [, make, expected = make] = keep.values[i]
        const message = heap.channel('to-them').tryTake()
        const found = keep.difference(message, expected())
        heap.channel('to-us').tryPutMany([make(), message])
        return found
      }, i)
      t.is(taken, undefined, 'what the other process has taken')
      t.is(difference(toUs.tryTake(), expected()), undefined, 'what the other process has put')
      t.is(difference(toUs.tryTake(), expected()), undefined, 'what the other process has put back')
    }

    // in a transaction, as element, entry and through share
    heap.transaction(() => {
      root.held = [make()]
      root.held.push(new Map([['k', heap.share(make())]]))
      root.held.push(new Set([make()]))
      t.is(difference(root.held[0], expected()), undefined, 'what the transaction reads')
    })
    const held = await peer.run(({ root, keep }, i) => {
      const [, make, expected = make] = keep.values[i]
      const [element, map, set] = root.held
      return [element, map.get('k'), [...set][0]].map((value) => keep.difference(value, expected()) ?? null)
    }, i)
    // a Set holds 0 and no -0
    if (Object.is(make(), -0)) held.pop()
    t.true(
      held.every((x) => x === null),
      JSON.stringify(held),
    )
    for (const key of ['ours', 'theirs', 'back', 'held']) delete root[key]
  })
}

test.serial('the comparison sees what differs', (t) => {
  const cycle = { a: [1] }
  cycle.self = cycle
  const other = { a: [1] }
  other.self = { ...other }
  const at = (a, e) => difference(a, e) ?? 'nothing'
  t.regex(at(-0, 0), /^\$: 0 instead of 0/)
  t.regex(at({ a: 1, b: 2 }, { b: 2, a: 1 }), /the key a instead of b/)
  t.regex(at([1, , 3], [1, undefined, 3]), /2 keys instead of 3/)
  t.regex(at({}, Object.create(null)), /another prototype/)
  t.regex(at(Object.freeze([]), []), /frozen/)
  t.regex(at([, ,], [, , ,]), /length 2 instead of 3/)
  t.regex(at(other, cycle), /another object than where it stood first/)
  const one = {}
  t.regex(at([one, one], [{}, {}]), /the same object as/)
  t.regex(at(Float64Array.of(0), Float64Array.of(-0)), /other bytes/)
  t.regex(at(Buffer.from('a'), Buffer.alloc(1, 'a')), /bytes of others/)
  t.regex(at(new Set([1]), new Set([1])), /nothing/)
  t.regex(at(new Set([1]), new Set([2])), /keys\(\)\[0\]: 1 instead of 2/)
  t.regex(at(new TypeError('a'), new Error('a')), /another prototype/)
  t.regex(at(new Error('a'), new Error('a', { cause: 1 })), /has a cause or has none/)
  t.regex(at(new Date(1), new Date(2)), /another time/)
  t.regex(at(Object.assign(new Error('a'), { stack: 1 }), Object.assign(new Error('a'), { stack: 2 })), /stack: 1/)
  t.is(at(cycle, structuredClone(cycle)), 'nothing')
})

test.serial('the stack that an Error was thrown with is what the other process reads', async (t) => {
  const error = new Error('here')
  root.error = error
  t.is(await peer.run(({ root }) => root.error.stack), error.stack)
  await peer.run(({ root }) => {
    root.error = new RangeError('there')
    root.stack = root.error.stack
  })
  t.is(root.error.stack, root.stack)
  t.regex(root.stack, /puppet\.js/)
})

test.serial('what is by value is a fresh copy at each read; what is live is the same object', async (t) => {
  root.kinds = { date: new Date(1), re: /x/g, url: new URL('http://a.b/'), error: new Error('e'), boxed: Object(1) }
  for (const key of Object.keys(root.kinds)) t.not(root.kinds[key], root.kinds[key])
  root.kinds.date.setTime(5)
  root.kinds.url.pathname = '/changed'
  root.kinds.re.test('x')
  t.deepEqual(await peer.run(({ root }) => [root.kinds.date.getTime(), root.kinds.url.href, root.kinds.re.lastIndex]), [
    1,
    'http://a.b/',
    0,
  ])
  root.kinds.list = [{}]
  t.is(root.kinds.list[0], root.kinds.list[0])
})

test.serial('a shared object is stored by reference, wherever it stands', async (t) => {
  const point = heap.share(new Point(1, 2))
  const bytes = heap.alloc(Float64Array, 4)
  root.places = {
    point,
    list: [point, { point }],
    map: new Map([
      [point, 'as a key'],
      ['point', point],
    ]),
    set: new Set([point, point]),
    frozen: Object.freeze({ inner: Object.freeze([point]) }),
    error: new Error('e', { cause: point }),
    instance: new Point(point, bytes),
    bytes,
    part: bytes.subarray(1, 3),
    data: new DataView(bytes.buffer, 8),
  }
  point.x = 10
  bytes[1] = 1.5
  const seen = await peer.run(({ root }) => {
    const { point, list, map, set, frozen, error, instance, bytes, part, data } = root.places
    const all = [list[0], list[1].point, map.get('point'), [...set][0], frozen.inner[0], error.cause, instance.x]
    point.y = 20
    part[1] = 2.5
    data.setFloat64(16, 3.5, true)
    return [
      all.every((o) => o === point),
      map.get(point),
      set.size,
      point.x,
      instance.y === bytes,
      part.buffer === bytes.buffer && data.buffer === bytes.buffer,
      part[0],
    ]
  })
  t.deepEqual(seen, [true, 'as a key', 1, 10, true, true, 1.5])
  t.is(point.y, 20)
  t.deepEqual([...bytes], [0, 1.5, 2.5, 3.5])
  t.is(root.places.frozen.inner[0], point)
})

test.serial('members of a frozen value that are live stay live, those that are frozen are not', async (t) => {
  root.frozen = Object.freeze({ live: { n: 1 }, deep: Object.freeze([Object.freeze({ n: 2 })]) })
  t.throws(() => (root.frozen.live = 1), { code: 'ERR_COHEAP_READ_ONLY' })
  t.throws(() => (root.frozen.deep[0].n = 1), { code: 'ERR_COHEAP_READ_ONLY' })
  await peer.run(({ root }) => void (root.frozen.live.n = 5))
  t.is(root.frozen.live.n, 5)
})

test.serial('what a trap of a Proxy throws comes out, and nothing is stored', (t) => {
  const traps = ['ownKeys', 'getOwnPropertyDescriptor', 'getPrototypeOf']
  for (const trap of traps) {
    const boom = new Error(trap)
    const bad = new Proxy({ a: 1 }, { [trap]: () => { throw boom } }) // prettier-ignore
    for (const value of [bad, { deep: [1, new Map([['k', bad]])] }, Object.freeze([bad])]) {
      const before = heap.stats().used
      t.is(t.throws(() => (root.proxied = value)), boom) // prettier-ignore
      t.false('proxied' in root)
      t.is(heap.stats().used, before)
    }
  }
})

test.serial('a snapshot of a live value is the value again', (t) => {
  for (const [name, make, expected = make] of VALUES) {
    if (/Proxy|resizable|100,000|Buffers|10,000/.test(name)) continue
    root.snap = make()
    const plain = snapshot(root.snap)
    root.snap = plain
    t.is(difference(root.snap, expected()), undefined, name)
  }
  delete root.snap
})
