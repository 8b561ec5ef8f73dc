// Random values, kinds within kinds, by each way of storing one: what this and another process read is what was stored.
import test from 'ava'
import { Heap, snapshot } from '../dist/index.js'
import { difference } from './fixtures/difference.js'
import { puppet } from './fixtures/puppet.js'
import { randomValue } from './fixtures/random-value.js'

const SEEDS = 400

const heap = Heap.create(undefined, { maxSize: '512MiB' })
const { root } = heap
const channel = heap.channel('values')
const peer = await puppet(heap.name)
await peer.run(
  async ({ keep }, maker, differences) => {
    keep.randomValue = (await import(maker)).randomValue
    keep.difference = (await import(differences)).difference
  },
  new URL('fixtures/random-value.js', import.meta.url).href,
  new URL('fixtures/difference.js', import.meta.url).href,
)
test.after.always(async () => {
  await peer.end()
  heap.close()
})

/** Stores what `make` makes, and gives what is read then. */
const WAYS = {
  property: (make) => ((root.held = make()), root.held),
  elements: (make) => {
    root.list = [0]
    root.list.push(make(), make())
    root.list.splice(1, 1, make())
    root.list.unshift(make())
    return root.list[2]
  },
  entry: (make) => ((root.map = new Map()), root.map.set(make(), 1).set('k', make()).get('k')),
  key: (make) => ((root.map = new Map()), root.map.set(make(), make()), [...root.map.keys()][0]),
  getOrInsert: (make) => ((root.map = new Map()), root.map.getOrInsert(make(), make())),
  member: (make) => ((root.set = new Set()), [...root.set.add(make())][0]),
  message: (make) =>
    make() === undefined ? undefined : (channel.tryPutMany([make(), make()]), channel.takeMany(2)[1]),
  transaction: (make) => heap.transaction(() => ((root.held = make()), root.held)),
  'in something frozen': (make) => ((root.held = Object.freeze([Object.freeze({ in: make() })])), root.held[0].in),
  'in an error': (make) => ((root.held = new Error('with', { cause: make() })), root.held.cause),
  'the same again': (make) => ((root.held = make()), (root.again = root.held), root.again),
}

for (const [name, way] of Object.entries(WAYS)) {
  test.serial(`by ${name}`, (t) => {
    for (let seed = 0; seed < SEEDS; seed++) {
      const make = () => randomValue(seed)
      // a key that is -0 is 0
      const expected = (name === 'key' || name === 'member') && Object.is(make(), -0) ? 0 : make()
      t.is(difference(way(make), expected), undefined, `seed ${seed}`)
    }
  })
}

test.serial('snapshots of live values, of frozen ones and of plain ones with live members', (t) => {
  for (let seed = 0; seed < SEEDS; seed++) {
    const make = () => [randomValue(seed)]
    root.held = make()
    t.is(difference(snapshot(root.held), make()), undefined, `seed ${seed}, live`)
    t.is(difference(snapshot([root.held[0]]), make()), undefined, `seed ${seed}, plain`)
  }
})

test.serial('another process reads and stores them', async (t) => {
  for (let seed = 0; seed < SEEDS; seed += 20) {
    root.values = Array.from({ length: 20 }, (_, i) => randomValue(seed + i))
    const wrong = await peer.run(({ root, keep }, seed) => {
      const expected = Array.from({ length: 20 }, (_, i) => keep.randomValue(seed + i))
      const wrong = [...root.values].map((value, i) => keep.difference(value, expected[i]) ?? null)
      root.back = expected
      return wrong
    }, seed)
    t.deepEqual(
      wrong.filter((what) => what !== null),
      [],
      `from seed ${seed}`,
    )
    for (let i = 0; i < 20; i++) t.is(difference(root.back[i], randomValue(seed + i)), undefined, `seed ${seed + i}`)
  }
  t.deepEqual(heap.verify(), [])
})
