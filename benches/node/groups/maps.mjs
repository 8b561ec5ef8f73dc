// A map of 10,000 entries with strings for keys, each time another one.
import { atLeast, workers } from '../rows.mjs'
import { PASS, order, timed, timedAsync, wrong } from '../work.mjs'

export const title = 'maps'
export const rows = [
  { name: 'map get', roles: workers(1), unit: 'M/s', bar: atLeast(8e6) },
  { name: 'map set', roles: workers(1), unit: 'M/s', bar: atLeast(4e6) },
]

const ENTRIES = 10_000
const KEYS = Array.from({ length: ENTRIES }, (_, i) => `user:${i}`)
const next = order(ENTRIES)

/** Both cases; `reader(store)` and `writer(store)` give functions. */
const cases = (reader, writer) => ({
  'map get': (store, { seconds }) => {
    const get = reader(store)
    return () =>
      timed(seconds, PASS, () => {
        for (let k = 0; k < PASS; k++) {
          const i = next[k]
          if (get(KEYS[i]) !== i) throw wrong(KEYS[i])
        }
      })
  },
  'map set': (store, { seconds }) => {
    const set = writer(store)
    const get = reader(store)
    return () => {
      let last = 0
      const result = timed(seconds, PASS, (from) => {
        last = from
        for (let k = 0; k < PASS; k++) set(KEYS[next[k]], from + k)
      })
      const expected = new Map()
      for (let k = 0; k < PASS; k++) expected.set(KEYS[next[k]], last + k)
      for (const [key, value] of expected) if (get(key) !== value) throw wrong(key)
      return result
    }
  },
})

const ofMap = (mapOf) =>
  cases(
    (store) => {
      const map = mapOf(store)
      return (key) => map.get(key)
    },
    (store) => {
      const map = mapOf(store)
      return (key, value) => map.set(key, value)
    },
  )

export const entries = {
  async coheap() {
    return {
      fill: ({ root }) => void (root.map = new Map(KEYS.map((key, i) => [key, i]))),
      cases: ofMap(({ root }) => root.map),
    }
  },
  async ems() {
    const { array } = await import('../peers/ems.mjs')
    const open = (store, create) => array(store, 'map', { dimensions: [2 * ENTRIES], heapSize: 4 << 20, useMap: true }, create)
    return {
      fill(store) {
        const map = open(store, true)
        KEYS.forEach((key, i) => map.write(key, i))
      },
      cases: cases(
        (store) => {
          const map = open(store)
          return (key) => map.read(key)
        },
        (store) => {
          const map = open(store)
          return (key, value) => map.write(key, value)
        },
      ),
    }
  },
  async lmdb() {
    return {
      fill: ({ db }) => db.transactionSync(() => KEYS.forEach((key, i) => db.put(key, i))),
      cases: cases(({ db }) => (key) => db.get(key), ({ db }) => (key, value) => db.putSync(key, value)),
    }
  },
  async sqlite() {
    const { fill } = await import('../peers/sqlite.mjs')
    return {
      fill: (store) => fill(store, KEYS.map((key, i) => [key, i])),
      cases: cases(({ get }) => (key) => get.get(key), ({ set }) => (key, value) => set.run(key, value)),
    }
  },
  async redis() {
    return {
      fill: ({ client }) => client.mset(...KEYS.flatMap((key, i) => [key, i])),
      cases: {
        'map get': ({ client }, { seconds }) => () =>
          timedAsync(seconds, async (k) => {
            const i = next[k % PASS]
            if (Number(await client.get(KEYS[i])) !== i) throw wrong(KEYS[i])
          }),
        'map set': ({ client }, { seconds }) => async () => {
          const result = await timedAsync(seconds, (k) => client.set(KEYS[next[k % PASS]], k))
          await client.set(KEYS[7], -7)
          if (Number(await client.get(KEYS[7])) !== -7) throw wrong('nothing was set')
          return result
        },
      },
    }
  },
  async plain() {
    const map = new Map(KEYS.map((key, i) => [key, i]))
    return { cases: ofMap(() => map) }
  },
}
