// What one operation costs as a heap grows, with more processes, in larger transactions. `curves.mjs` draws them.
import { workers } from '../rows.mjs'
import { OBJECTS, PASS, order, timed, wrong } from '../work.mjs'

const powers = (from, to, steps = 1) => Array.from({ length: (to - from) * steps + 1 }, (_, k) => Math.round(10 ** (from + k / steps)))

/**
 * Along what: its values, and what is measured at each of them. `together`: all of it in one heap and one process, since to fill
 * the heap takes longest.
 */
export const CURVES = {
  objects: {
    along: 'live objects in the heap',
    together: true,
    values: (largest) => powers(3, 7).filter((n) => n <= largest),
    roles: () => workers(1),
    // the writing last: the others look at what they read
    cases: [
      'read a property of 1,000 of them',
      'read any one: list[i].value',
      'map get, a map of 1/10 as many',
      'map set, the same',
      'write a property of 1,000 of them',
    ],
  },
  processes: {
    along: 'processes',
    values: () => [1, 2, 4, 8, 16, 32, 64],
    roles: (n) => workers(n),
    cases: ['read a property', 'write a property of an own object', 'transfer between two of 1,000 accounts', 'hot counter'],
  },
  size: {
    along: 'objects written in one transaction',
    values: () => powers(0, 4),
    roles: () => workers(1),
    cases: ['write one object of a transaction'],
  },
}

export const nameOf = (curve, what, n) => `${curve}/${what}/${n}`

/** Objects that are stored at a time. */
const BATCH = 10_000

function grow(list, n) {
  for (let i = list.length; i < n; i += BATCH) list.push(...Array.from({ length: Math.min(BATCH, n - i) }, (_, k) => ({ value: i + k + 1 })))
}
const keyOf = (i) => `user:${i}`

const cases = {
  'read a property of 1,000 of them': ({ root }, { seconds }) => {
    const hot = Array.from({ length: OBJECTS }, (_, i) => root.list.at(-1 - i))
    return reading(hot, seconds)
  },
  'write a property of 1,000 of them': ({ root }, { seconds }) => {
    const hot = Array.from({ length: OBJECTS }, (_, i) => root.list.at(-1 - i))
    return writing(hot, seconds)
  },
  'read any one: list[i].value': ({ root }, { seconds, n }) => {
    const { list } = root
    const next = order(n)
    return () =>
      timed(seconds, PASS, () => {
        for (let k = 0; k < PASS; k++) if (list[next[k]].value !== next[k] + 1) throw wrong(`object ${next[k]}`)
      })
  },
  'map get, a map of 1/10 as many': ({ root }, { seconds, n }) => {
    const { map } = root
    const keys = [...order(n / 10)].map((i) => [keyOf(i), i])
    return () =>
      timed(seconds, PASS, () => {
        for (const [key, i] of keys) if (map.get(key) !== i) throw wrong(key)
      })
  },
  'map set, the same': ({ root }, { seconds, n }) => {
    const { map } = root
    const keys = [...order(n / 10)].map((i) => [keyOf(i), i])
    return () => {
      const result = timed(seconds, PASS, () => {
        for (const [key, i] of keys) map.set(key, i)
      })
      if (map.size !== n / 10) throw wrong(`${map.size} entries`)
      return result
    }
  },
  'read a property': ({ root }, { seconds }) => reading([...root.list], seconds),
  'write a property of an own object': ({ root }, { id, seconds }) => writing([root.list[id]], seconds),
  'transfer between two of 1,000 accounts': (heap, { id, seconds }) => {
    const list = [...heap.root.list]
    const [froms, others] = [order(OBJECTS, 2 * id + 1), order(OBJECTS - 1, 2 * id + 2)]
    return () =>
      timed(seconds, 100, (from) => {
        for (let k = from; k < from + 100; k++) {
          const a = froms[k % PASS]
          heap.transaction(() => {
            list[a].value -= 1
            list[(a + 1 + others[k % PASS]) % OBJECTS].value += 1
          })
        }
      })
  },
  'hot counter': (heap, { seconds }) => {
    const { counter } = heap.root
    return () => {
      let done = 0
      const result = timed(seconds, 100, () => {
        for (let k = 0; k < 100; k++) heap.transaction(() => counter.n++)
        done += 100
      })
      return { ...result, done }
    }
  },
  'write one object of a transaction': (heap, { seconds, n }) => {
    const list = [...heap.root.list]
    let value = 0
    return () => {
      const result = timed(seconds, n, () => {
        value++
        heap.transaction(() => {
          for (let i = 0; i < n; i++) list[i].value = value
        })
      })
      if (list[0].value !== value || list[n - 1].value !== value) throw wrong('nothing was written')
      return result
    }
  },
}

function reading(list, seconds) {
  const next = order(list.length)
  return () => {
    let sum = 0
    const result = timed(seconds, PASS, () => {
      for (let k = 0; k < PASS; k++) sum += list[next[k]].value
    })
    if (!(sum > 0)) throw wrong('nothing was read')
    return result
  }
}

function writing(list, seconds) {
  const next = order(list.length)
  return () => {
    let last = 0
    const result = timed(seconds, PASS, (from) => {
      last = from
      for (let k = 0; k < PASS; k++) list[next[k]].value = from + k
    })
    if (list[next[PASS - 1]].value !== last + PASS - 1) throw wrong('nothing was written')
    return result
  }
}

/** Several cases in one heap; what each costs goes into the notes. */
function all(these, heap, context) {
  const notes = {}
  let result
  for (const what of these) {
    result = cases[what](heap, context)()
    notes[what] = (1e9 * result.seconds) / result.ops
  }
  return { ...result, notes }
}

export const entries = {
  coheap: () => ({
    options: { size: '64MiB', maxSize: '8GiB' },
    fill({ root }, { curve, n }) {
      root.list = []
      root.counter = { n: 0 }
      grow(root.list, curve === 'objects' ? n : curve === 'size' ? n : OBJECTS)
      if (curve !== 'objects') return
      root.map = new Map()
      for (let i = 0; i < n / 10; i++) root.map.set(keyOf(i), i)
    },
    check({ root }, { what }, results) {
      if (what.startsWith('transfer')) {
        let sum = 0
        for (const one of root.list) sum += one.value
        if (sum !== (OBJECTS * (OBJECTS + 1)) / 2) throw wrong(`the sum is ${sum}`)
      } else if (what === 'hot counter') {
        const done = results.reduce((all, r) => all + r.done, 0)
        if (root.counter.n !== done) throw wrong(`the counter is ${root.counter.n} after ${done} additions`)
      }
    },
    cases: Object.fromEntries(
      Object.entries(CURVES).flatMap(([curve, { values, cases: these }]) =>
        values(Infinity).flatMap((n) => [
          ...these.map((what) => [nameOf(curve, what, n), (heap, context) => cases[what](heap, { ...context, n })]),
          [nameOf(curve, 'all', n), (heap, context) => () => all(these, heap, { ...context, n })],
        ]),
      ),
    ),
  }),
}
