// A list of 1,000 numbers; a list of a million objects, in the order of the list, by a process that has not yet seen them, and
// once more.
import { atLeast, workers } from '../rows.mjs'
import { PASS, order, ownMemory, summed, wrong } from '../work.mjs'

export const title = 'lists'
export const rows = [
  { name: 'numbers of a list: at(i)', roles: workers(1), unit: 'M/s', bar: atLeast(40e6) },
  { name: 'numbers of a list: list[i]', roles: workers(1), unit: 'M/s', bar: atLeast(10e6) },
  { name: 'numbers of a list: iterate', roles: workers(1), unit: 'M/s', bar: atLeast(100e6) },
  { name: 'a million objects, first touch', roles: workers(1), unit: 'M/s', bar: atLeast(5e6) },
  { name: 'a million objects, again', roles: workers(1), unit: 'M/s', bar: atLeast(8e6) },
]

const NUMBERS = 1000
const MILLION = 1_000_000
/** Objects that are stored at a time. */
const BATCH = 10_000
const next = order(NUMBERS)
const SUM = next.reduce((sum, i) => sum + i + 1, 0)
const numbers = Array.from({ length: NUMBERS }, (_, i) => i + 1)

const isMillion = (row) => row.name.startsWith('a million')

/** The cases of what behaves as an array. */
const ofNumbers = (listOf) => ({
  'numbers of a list: at(i)': (store, { seconds }) => {
    const list = listOf(store)
    return () =>
      summed(seconds, PASS, SUM, () => {
        let sum = 0
        for (let k = 0; k < PASS; k++) sum += list.at(next[k])
        return sum
      })
  },
  'numbers of a list: list[i]': (store, { seconds }) => {
    const list = listOf(store)
    return () =>
      summed(seconds, PASS, SUM, () => {
        let sum = 0
        for (let k = 0; k < PASS; k++) sum += list[next[k]]
        return sum
      })
  },
  'numbers of a list: iterate': (store, { seconds }) => {
    const list = listOf(store)
    const expected = (NUMBERS * (NUMBERS + 1)) / 2
    return () =>
      summed(seconds, NUMBERS, expected, () => {
        let sum = 0
        for (const x of list) sum += x
        return sum
      })
  },
})

/** One pass over a million objects, and what memory of its own it took. `iterate()` gives their sum. */
async function pass(iterate) {
  globalThis.gc?.()
  const before = await ownMemory()
  const start = performance.now()
  const sum = iterate()
  const seconds = (performance.now() - start) / 1000
  const grown = (await ownMemory()) - before
  if (sum !== (MILLION * (MILLION + 1)) / 2) throw wrong(`the sum is ${sum}`)
  return { ops: MILLION, seconds, notes: { 'own memory grew by': `${(grown / 2 ** 20).toFixed(0)} MiB` } }
}

const ofMillion = (iterator) => ({
  'a million objects, first touch': (store) => () => pass(iterator(store)),
  'a million objects, again': (store) => async () => {
    const iterate = iterator(store)
    await pass(iterate)
    return pass(iterate)
  },
})

const sumOf = (list) => {
  let sum = 0
  for (const one of list) sum += one.value
  return sum
}

export const entries = {
  async coheap() {
    return {
      fill({ root }, row) {
        if (!isMillion(row)) return void (root.numbers = numbers)
        root.list = []
        for (let i = 0; i < MILLION; i += BATCH) root.list.push(...Array.from({ length: BATCH }, (_, k) => ({ value: i + k + 1 })))
      },
      cases: { ...ofNumbers((heap) => heap.root.numbers), ...ofMillion((heap) => () => sumOf(heap.root.list)) },
    }
  },

  async sab() {
    return {
      cases: ofNumbers(() => {
        const cells = new Float64Array(new SharedArrayBuffer(8 * NUMBERS))
        cells.set(numbers)
        return cells
      }),
    }
  },

  async ems() {
    const { array } = await import('../peers/ems.mjs')
    const list = (store, create) => array(store, 'numbers', { dimensions: [NUMBERS] }, create)
    const many = (store, create) => array(store, 'list', { dimensions: [MILLION], heapSize: 128 << 20 }, create)
    return {
      fill(store, row) {
        if (isMillion(row)) {
          const all = many(store, true)
          for (let i = 0; i < MILLION; i++) all.write(i, { value: i + 1 })
        } else {
          const all = list(store, true)
          numbers.forEach((x, i) => all.write(i, x))
        }
      },
      cases: {
        'numbers of a list: at(i)': (store, { seconds }) => {
          const all = list(store)
          return () =>
            summed(seconds, PASS, SUM, () => {
              let sum = 0
              for (let k = 0; k < PASS; k++) sum += all.read(next[k])
              return sum
            })
        },
        ...ofMillion((store) => {
          const all = many(store)
          return () => {
            let sum = 0
            for (let i = 0; i < MILLION; i++) sum += all.read(i).value
            return sum
          }
        }),
      },
    }
  },

  async lmdb() {
    return {
      fill: ({ db }, row) => {
        if (!isMillion(row)) return
        db.transactionSync(() => {
          for (let i = 0; i < MILLION; i++) db.put(i, { value: i + 1 })
        })
      },
      cases: ofMillion(({ db }) => () => {
        let sum = 0
        for (const { value } of db.getRange()) sum += value.value
        return sum
      }),
    }
  },

  async sqlite() {
    const { fill } = await import('../peers/sqlite.mjs')
    return {
      fill(store, row) {
        if (isMillion(row)) fill(store, Array.from({ length: MILLION }, (_, i) => [i, i + 1]))
      },
      cases: ofMillion(({ db }) => {
        const all = db.prepare('SELECT value FROM entries')
        return () => sumOf(all.iterate())
      }),
    }
  },

  async objectbuffer() {
    const { share } = await import('../peers/objectbuffer.mjs')
    return { cases: ofNumbers(() => share(numbers)) }
  },

  async plain() {
    const list = ofNumbers(() => [...numbers])
    return { cases: { ...list, ...ofMillion(() => {
      const all = Array.from({ length: MILLION }, (_, i) => ({ value: i + 1 }))
      return () => sumOf(all)
    }) } }
  },
}
