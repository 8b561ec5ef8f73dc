// A heap that is full to the last byte: what needs memory fails as a whole and says so, what gives memory back works.
import test from 'ava'
import { Heap, snapshot } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

const FULL = {
  code: 'ERR_COHEAP_OUT_OF_MEMORY',
  instanceOf: RangeError,
  message: 'the heap is full up to its maxSize (4 MiB)',
}

/** Lengths of texts whose blocks are of every size: runs of slabs, then each size class. */
const LENGTHS = [
  ...[2 ** 20, 2 ** 19, 2 ** 18, 2 ** 17, 100_000, 50_000, 30_000, 20_000, 12_000, 9000],
  ...Array.from({ length: 511 }, (_, i) => 8180 - 16 * i).filter((n) => n > 5),
  6,
]

/** Takes every block of the heap that is free: texts of all sizes, the largest first, in an array made for them. */
function fill(heap) {
  const { cells } = heap.root
  for (const length of LENGTHS) {
    const text = 'x'.repeat(length)
    for (;;) {
      const used = heap.root.used
      try {
        cells[used] = text
      } catch (error) {
        if (error.code !== 'ERR_COHEAP_OUT_OF_MEMORY') throw error
        break
      }
      heap.root.used = used + 1
    }
  }
  if (heap.root.used >= cells.length) throw new Error('not enough cells')
}

/** A full heap with something of everything in it, and channels with messages. */
function full() {
  const heap = Heap.create(undefined, { size: '64KiB', maxSize: '4MiB', maxParticipants: 4 })
  const text = (c) => c.repeat(40)
  Object.assign(heap.root, {
    used: 0,
    n: 1,
    text: text('t'),
    object: { a: text('a'), inner: { b: 1 }, c: 1, d: 2, e: 3, f: 4, g: 5, h: 6 },
    dictionary: Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`key ${i}`, text('v')])),
    list: [text('l'), { m: 1 }, 2, 3, text('m'), 5n ** 50n],
    map: new Map([
      ['k', text('k')],
      [text('q'), {}],
      [1, 2],
    ]),
    large: new Map(Array.from({ length: 200 }, (_, i) => [`key ${i}`, text('v')])),
    set: new Set([text('p'), text('r'), 3]),
    bytes: new Uint8Array(100),
    few: Array.from({ length: 64 }, (_, i) => (i % 2 === 0 ? i : text('f'))),
    cells: new Array(30_000).fill(0),
  })
  const fifo = heap.channel('fifo')
  const bounded = heap.channel('bounded', { capacity: 10 })
  const lifo = heap.channel('lifo', { order: 'lifo' })
  for (const channel of [fifo, bounded, lifo]) {
    for (let i = 0; i < 8; i++) channel.tryPut({ i, text: text('z') })
  }
  fill(heap)
  return { heap, root: heap.root, fifo, bounded, lifo }
}

/** All that is in the heap but what fills it. */
function content({ heap, root, fifo, bounded, lifo }) {
  const { cells: _, ...rest } = snapshot(root)
  return { rest, lengths: [fifo, bounded, lifo].map((c) => c.length), objects: heap.stats().objects }
}

test('what needs memory fails as a whole in a full heap', async (t) => {
  const here = full()
  const { heap, root, fifo, bounded, lifo } = here
  const before = content(here)
  const operations = {
    set: () => (root.object.inner = { more: [1, 2] }),
    'set a text': () => (root.text = 'u'.repeat(1000)),
    'set a bigint': () => (root.n = 7n ** 100n),
    'set an element': () => (root.list[2] = []),
    'set a frozen value': () => (root.n = Object.freeze([1, 'f'.repeat(30)])),
    'set a date': () => (root.n = new Date(0)),
    'a new property': () => (root.object.newKey = {}),
    push: () => root.list.push({}),
    unshift: () => root.list.unshift([]),
    splice: () => root.list.splice(1, 1, {}, {}),
    'fill with an object': () => root.list.fill({}),
    'fill of many elements': () => root.cells.fill(0),
    'splice of many elements': () => root.cells.splice(1, 10_000, ...new Array(10_000).fill(0)),
    sort: () => root.list.sort(),
    'a large length': () => (root.list[root.list.length + 5000] = {}),
    'map.set': () => root.map.set('new', {}),
    'map.set of a key that is there': () => root.map.set('k', {}),
    'map.set of a long key': () => root.large.set('n'.repeat(100), 1),
    'set.add': () => root.set.add('n'.repeat(100)),
    share: () => heap.share({ a: 1 }),
    alloc: () => heap.alloc(Float64Array, 1000),
    tryPut: () => fifo.tryPut({}),
    'tryPut, bounded': () => bounded.tryPut({}),
    'tryPut, lifo': () => lifo.tryPut({}),
    tryPutMany: () => fifo.tryPutMany([{}, {}]),
    putSync: () => fifo.putSync({}),
    transaction: () =>
      heap.transaction(() => {
        root.n = 2
        delete root.object.a
        fifo.tryTake()
        root.map.delete('k')
        root.list.push({})
      }),
    'an explicit transaction': () => {
      const tx = heap.begin()
      tx.run(() => (root.n = 3))
      try {
        tx.run(() => root.set.add({}))
      } finally {
        t.false(tx.active)
      }
    },
  }
  for (const [name, operation] of Object.entries(operations)) {
    t.throws(operation, FULL, name)
    t.deepEqual(content(here), before, name)
  }
  const waiting = {
    put: () => fifo.put({}),
    putMany: () => bounded.putMany([{}, {}]),
    transactionAsync: () => heap.transactionAsync(() => ((root.n = 4), root.list.push([]))),
  }
  for (const [name, operation] of Object.entries(waiting)) {
    await t.throwsAsync(operation, FULL, name)
    t.deepEqual(content(here), before, name)
  }
  t.throws(() => heap.alloc(Float64Array, 2 ** 30), { code: FULL.code, message: /larger than the heap|full/ })
  t.deepEqual(heap.verify(), [])
  heap.close()
})

test('what gives memory back needs none', async (t) => {
  const here = full()
  const { heap, root, fifo, bounded, lifo } = here
  const took = (channel, values) => values.every((v) => v.text === 'z'.repeat(40)) && channel.length
  const operations = {
    'a property, scalar over text': () => (root.object.a = 1) === root.object.a,
    'a property, scalar over object': () => (root.object.inner = null) === root.object.inner,
    'an element, scalar over bigint': () => (root.list[5] = 0) === root.list[5],
    'an entry, scalar over text': () => root.map.set('k', 5).get('k') === 5,
    'an entry of a map with stripes': () => root.large.set('key 3', 5).get('key 3') === 5,
    'delete of a property': () => delete root.text && !('text' in root),
    'delete of a property of a dictionary': () => delete root.dictionary['key 7'] && !('key 7' in root.dictionary),
    'delete of an element': () => delete root.list[0] && !(0 in root.list),
    'map.delete': () => root.map.delete('q'.repeat(40)) && root.map.size === 2,
    'map.delete, with stripes': () => root.large.delete('key 5') && root.large.size === 199,
    'set.delete': () => root.set.delete('p'.repeat(40)) && root.set.size === 2,
    'fill of a few elements with scalars': () =>
      root.few.fill(true).every((x) => x === true) && root.few.fill(7, 1, 63)[62] === 7,
    pop: () => root.list.pop() === 0,
    shift: () => root.list.shift() === undefined && root.list.length === 4,
    'splice of one': () => root.list.splice(0, 1).length === 1 && root.list.length === 3,
    'length = 0': () => (root.list.length = 0) === root.list.length,
    'map.clear': () => (root.map.clear(), root.large.clear(), root.map.size + root.large.size) === 0,
    'set.clear': () => (root.set.clear(), root.set.size) === 0,
    tryTake: () => took(fifo, [fifo.tryTake()]) === 7,
    'tryTake, bounded': () => took(bounded, [bounded.tryTake()]) === 7,
    'tryTake, lifo': () => took(lifo, [lifo.tryTake()]) === 7,
    takeSync: () => took(fifo, [fifo.takeSync()]) === 6,
    takeMany: () => took(bounded, bounded.takeMany(3)) === 4,
    'takeMany, lifo': () => took(lifo, lifo.takeMany(3)) === 4,
    'a take that is undone': () => {
      const tx = heap.begin()
      tx.run(() => [fifo.tryTake(), bounded.tryTake(), lifo.tryTake()])
      tx.abort()
      return fifo.length === 6 && bounded.length === 4 && lifo.length === 4
    },
    'an abort': () => {
      const tx = heap.begin()
      tx.run(() => ((root.n = 9), delete root.set, (root.object.h = 0)))
      tx.abort()
      return root.n === 1 && root.set.size === 0
    },
    'a commit of deletes and takes': () => {
      heap.transaction(() => {
        fifo.tryTake()
        lifo.tryTake()
        delete root.set
        root.object.h = 7
        for (let i = 10; i < 40; i++) delete root.dictionary[`key ${i}`]
      })
      return fifo.length === 5 && lifo.length === 3 && root.object.h === 7 && !('set' in root)
    },
    'close of a channel': () => [fifo, bounded, lifo].every((c) => (c.close(), took(c, c.takeMany(10)) === 0)),
    'delete of objects': () => delete root.object && delete root.list && delete root.bytes && delete root.map,
  }
  for (const [name, operation] of Object.entries(operations)) {
    // what the one before has given back
    fill(heap)
    t.throws(() => heap.share({}), FULL)
    t.truthy(operation(), name)
    t.deepEqual(heap.verify(), [], name)
  }
  // joining, reading, deleting and leaving too
  fill(heap)
  const other = await puppet(heap.name)
  const gone = await other.run(({ heap, root }) => {
    const before = Object.keys(root.dictionary).length
    delete root.dictionary['key 50']
    const worked = before - Object.keys(root.dictionary).length
    heap.close()
    return worked
  })
  t.is(gone, 1)
  await other.end()
  // and then there is room again
  root.cells.length = 0
  root.again = { list: Array.from({ length: 1000 }, (_, i) => `element ${i}`) }
  t.is(root.again.list[999], 'element 999')
  t.deepEqual(heap.verify(), [])
  const { name } = heap
  heap.close()
  t.false(Heap.list().some((info) => info.name === name))
})
