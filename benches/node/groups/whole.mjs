// Whole objects, of 10 and of 1,000 keys: their keys, a copy, their text, a snapshot. Beside plain objects of one thread.
import { times, workers } from '../rows.mjs'
import { timed, wrong } from '../work.mjs'

export const title = 'whole objects'
const SIZES = [10, 1000]
const WAYS = ['Object.keys', 'spread', 'JSON.stringify', 'snapshot']
/** A live object may cost five times what a plain one does. */
const bar = times(1 / 5, 'plain', '⅕ of plain')
export const rows = SIZES.flatMap((n) => WAYS.map((way) => ({ name: `${way}, ${n} keys`, roles: workers(1), unit: 'k/s', bar })))

/** Different objects, so that no cache of one object tells. */
const OBJECTS = 50
const make = (n, i) => Object.fromEntries(Array.from({ length: n }, (_, k) => [`key${k}`, k % 5 === 4 ? `text ${k}` : i + k]))

/** `objects(store, n)` gives the objects. `ways` are functions of an object. */
const cases = (objects, ways, sizes = SIZES) =>
  Object.fromEntries(
    sizes.flatMap((n) =>
      Object.entries(ways).map(([way, of]) => [
        `${way}, ${n} keys`,
        (store, { seconds }) => {
          const all = objects(store, n)
          // what it has to give, as text
          const plain = JSON.stringify(make(n, 7))
          const got = of(all[7])
          const text = Array.isArray(got) ? JSON.stringify(make(n, 7), got) : typeof got === 'string' ? got : JSON.stringify(got)
          if (text !== plain || (Array.isArray(got) && got.length !== n)) throw wrong(way)
          return () => {
            let sink
            const result = timed(seconds, OBJECTS, () => {
              for (let i = 0; i < OBJECTS; i++) sink = of(all[i])
            })
            if (sink === undefined) throw wrong('nothing')
            return result
          }
        },
      ]),
    ),
  )

const language = { 'Object.keys': (o) => Object.keys(o), spread: (o) => ({ ...o }), 'JSON.stringify': (o) => JSON.stringify(o) }

export const entries = {
  async coheap() {
    const { snapshot } = await import('coheap')
    return {
      fill({ root }) {
        for (const n of SIZES) root[`of${n}`] = Array.from({ length: OBJECTS }, (_, i) => make(n, i))
      },
      cases: cases(({ root }, n) => [...root[`of${n}`]], { ...language, snapshot }),
    }
  },
  async objectbuffer() {
    // of 1,000 keys one reading takes it seconds
    const { share } = await import('../peers/objectbuffer.mjs')
    return { cases: cases((_, n) => Array.from({ length: OBJECTS }, (_, i) => share(make(n, i), 1 << 20)), language, [10]) }
  },
  async ems() {
    const { array } = await import('../peers/ems.mjs')
    const open = (store, n, create) => array(store, `of${n}`, { dimensions: [OBJECTS], heapSize: 8 << 20 }, create)
    return {
      fill(store) {
        for (const n of SIZES) {
          const all = open(store, n, true)
          for (let i = 0; i < OBJECTS; i++) all.write(i, make(n, i))
        }
      },
      // it has no live objects: to read one is to copy it
      cases: cases((store, n) => {
        const all = open(store, n)
        return Array.from({ length: OBJECTS }, (_, i) => () => all.read(i))
      }, { snapshot: (read) => read() }),
    }
  },
  async lmdb() {
    return {
      fill: ({ db }) =>
        db.transactionSync(() => {
          for (const n of SIZES) for (let i = 0; i < OBJECTS; i++) db.put([n, i], make(n, i))
        }),
      cases: cases(({ db }, n) => Array.from({ length: OBJECTS }, (_, i) => () => db.get([n, i])), { snapshot: (read) => read() }),
    }
  },
  async plain() {
    return {
      cases: cases((_, n) => Array.from({ length: OBJECTS }, (_, i) => make(n, i)), { ...language, snapshot: (o) => structuredClone(o) }),
    }
  },
}
