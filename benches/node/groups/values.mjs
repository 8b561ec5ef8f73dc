// Fields of structs, properties, properties of properties: of 1,000 objects, each time another one.
import { atLeast, workers } from '../rows.mjs'
import { OBJECTS, PASS, order, summed, timed, timedAsync, wrong } from '../work.mjs'

export const title = 'values'
export const rows = [
  { name: 'struct field read', roles: workers(1), unit: 'M/s', bar: atLeast(100e6) },
  { name: 'struct field write', roles: workers(1), unit: 'M/s', bar: atLeast(20e6) },
  { name: 'property read', roles: workers(1), unit: 'M/s', bar: atLeast(20e6) },
  { name: 'property write', roles: workers(1), unit: 'M/s', bar: atLeast(10e6) },
  { name: 'nested read a.b.c.d', roles: workers(1), unit: 'M/s', bar: atLeast(5e6) },
]

const next = order(OBJECTS)
/** What a pass of readings adds up to: the value of an object is its number + 1. */
const SUM = next.reduce((sum, i) => sum + i + 1, 0)
const nested = (i) => ({ b: { c: { d: i + 1 } } })
const numbers = Array.from({ length: OBJECTS }, (_, i) => i)
/** Words of a record of raw memory: as many as a struct of four fields has. */
const STRIDE = 4

/** Readings through `read(i)`. */
const reading = (read) => (store, { seconds }) => {
  const one = read(store)
  return () =>
    summed(seconds, PASS, SUM, () => {
      let sum = 0
      for (let k = 0; k < PASS; k++) sum += one(next[k])
      return sum
    })
}

/** Writings through `write(i, value)`; at the end each object is to hold what was written to it last, as `read(i)` finds it. */
const writing = (write, read) => (store, { seconds }) => {
  const one = write(store)
  return () => {
    let last = 0
    const result = timed(seconds, PASS, (from) => {
      last = from
      for (let k = 0; k < PASS; k++) one(next[k], from + k)
    })
    const expected = new Map()
    for (let k = 0; k < PASS; k++) expected.set(next[k], last + k)
    const back = read(store)
    for (const [i, value] of expected) if (back(i) !== value) throw wrong(`object ${i} is ${back(i)}, not ${value}`)
    return result
  }
}

/** The same for promises. */
const readingAsync = (read) => (store, { seconds }) => {
  const one = read(store)
  return () =>
    timedAsync(seconds, async (k) => {
      const i = next[k % PASS]
      if ((await one(i)) !== i + 1) throw wrong(`object ${i}`)
    })
}

// An object with properties, for which the loop stands where its body is: `list[i].value` in a closure of its own would be
// one call more than a program makes.
const ofObjects = (listOf) => ({
  read: (store, { seconds }) => {
    const list = listOf(store)
    return () =>
      summed(seconds, PASS, SUM, () => {
        let sum = 0
        for (let k = 0; k < PASS; k++) sum += list[next[k]].value
        return sum
      })
  },
  write: (store, { seconds }) => {
    const list = listOf(store)
    return () => {
      let last = 0
      const result = timed(seconds, PASS, (from) => {
        last = from
        for (let k = 0; k < PASS; k++) list[next[k]].value = from + k
      })
      for (let k = PASS - 1, seen = new Set(); k >= 0; k--) {
        const i = next[k]
        if (!seen.has(i) && list[i].value !== last + k) throw wrong(`object ${i} is ${list[i].value}, not ${last + k}`)
        seen.add(i)
      }
      return result
    }
  },
})

const ofNested = (listOf) => (store, { seconds }) => {
  const list = listOf(store)
  return () =>
    summed(seconds, PASS, SUM, () => {
      let sum = 0
      for (let k = 0; k < PASS; k++) sum += list[next[k]].b.c.d
      return sum
    })
}

const ofWords = (cellsOf) => ({
  read: (store, { seconds }) => {
    const cells = cellsOf(store)
    return () =>
      summed(seconds, PASS, SUM, () => {
        let sum = 0
        for (let k = 0; k < PASS; k++) sum += cells[next[k] * STRIDE]
        return sum
      })
  },
  write: (store, { seconds }) => {
    const cells = cellsOf(store)
    return () => {
      let last = 0
      const result = timed(seconds, PASS, (from) => {
        last = from
        for (let k = 0; k < PASS; k++) cells[next[k] * STRIDE] = from + k
      })
      if (cells[next[PASS - 1] * STRIDE] !== last + PASS - 1) throw wrong('nothing was written')
      return result
    }
  },
})

/** The two cases of a kind of object. */
const both = (read, write) => ({ 'property read': read, 'property write': write })

export const entries = {
  async coheap() {
    const { struct } = await import('coheap')
    const Sample = struct('Sample', { value: 'f64', hits: 'i32', label: 'string', next: 'any' })
    const objects = ofObjects((heap) => [...heap.root.objects])
    const structs = ofObjects((heap) => [...heap.root.structs])
    return {
      fill({ root }) {
        root.objects = numbers.map((i) => ({ value: i + 1 }))
        root.structs = numbers.map((i) => new Sample({ value: i + 1 }))
        root.nested = numbers.map(nested)
      },
      cases: {
        'struct field read': structs.read,
        'struct field write': structs.write,
        ...both(objects.read, objects.write),
        'nested read a.b.c.d': ofNested((heap) => [...heap.root.nested]),
      },
    }
  },

  async shm() {
    const { view } = await import('../peers/shm.mjs')
    const words = ofWords((store) => view(store, Float64Array))
    return {
      fill: (store) => numbers.forEach((i) => (view(store, Float64Array)[i * STRIDE] = i + 1)),
      cases: { 'struct field read': words.read, 'struct field write': words.write },
    }
  },

  async sab() {
    const words = ofWords(() => {
      const cells = new Float64Array(new SharedArrayBuffer(8 * OBJECTS * STRIDE))
      numbers.forEach((i) => (cells[i * STRIDE] = i + 1))
      return cells
    })
    return { cases: { 'struct field read': words.read, 'struct field write': words.write } }
  },

  async ems() {
    const { array } = await import('../peers/ems.mjs')
    const objects = (store, create) => array(store, 'objects', { dimensions: [OBJECTS] }, create)
    const trees = (store, create) => array(store, 'nested', { dimensions: [OBJECTS], heapSize: 1 << 20 }, create)
    const reader = (store) => {
      const list = objects(store)
      return (i) => list.read(i)
    }
    const writer = (store) => {
      const list = objects(store)
      return (i, value) => list.write(i, value)
    }
    return {
      fill(store) {
        const list = objects(store, true)
        const tree = trees(store, true)
        for (const i of numbers) {
          list.write(i, i + 1)
          tree.write(i, nested(i))
        }
      },
      cases: {
        ...both(reading(reader), writing(writer, reader)),
        'nested read a.b.c.d': reading((store) => {
          const list = trees(store)
          return (i) => list.read(i).b.c.d
        }),
      },
    }
  },

  async lmdb() {
    const reader = ({ db }) => (i) => db.get(i).value
    return {
      fill: ({ db }) =>
        db.transactionSync(() => {
          for (const i of numbers) {
            db.put(i, { value: i + 1 })
            db.put(OBJECTS + i, nested(i))
          }
        }),
      cases: {
        ...both(reading(reader), writing(({ db }) => (i, value) => db.putSync(i, { value }), reader)),
        'nested read a.b.c.d': reading(({ db }) => (i) => db.get(OBJECTS + i).b.c.d),
      },
    }
  },

  async sqlite() {
    const { fill } = await import('../peers/sqlite.mjs')
    const reader = ({ get }) => (i) => get.get(i)
    return {
      fill: (store) => fill(store, numbers.map((i) => [i, i + 1])),
      cases: both(reading(reader), writing(({ set }) => (i, value) => set.run(i, value), reader)),
    }
  },

  async redis() {
    return {
      fill: ({ client }) => client.mset(...numbers.flatMap((i) => [i, i + 1])),
      cases: {
        'property read': readingAsync(({ client }) => async (i) => Number(await client.get(i))),
        'property write': ({ client }, { seconds }) => async () => {
          const result = await timedAsync(seconds, (k) => client.set(next[k % PASS], k))
          await client.set(3, -5)
          if (Number(await client.get(3)) !== -5) throw wrong('nothing was written')
          return result
        },
      },
    }
  },

  async objectbuffer() {
    const { share } = await import('../peers/objectbuffer.mjs')
    const objects = ofObjects(() => Array.from(share(numbers.map((i) => ({ value: i + 1 })))))
    return {
      cases: {
        ...both(objects.read, objects.write),
        'nested read a.b.c.d': ofNested(() => Array.from(share(numbers.map(nested)))),
      },
    }
  },

  async plain() {
    const objects = ofObjects(() => numbers.map((i) => ({ value: i + 1 })))
    return {
      cases: { ...both(objects.read, objects.write), 'nested read a.b.c.d': ofNested(() => numbers.map(nested)) },
    }
  },
}
