// Reads what other processes change, and checks that it only ever reads what can have been written to that place. Prints
// one line of JSON: { reads, changes, seconds, faults }.
//   node reader.mjs READS WRITERS [plant]
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { Heap } from '../../dist/index.js'
import { Fixed, KEYS, MAPPED, MOST, PLACES } from './places.mjs'
import { belongs, numberOf, textOf } from './tagged.mjs'

const [most, writers, plant] = process.argv.slice(2)
/** Reads of one kind in a row. */
const RUN = 2_400
/** Runs of one kind, while the writers mostly write that. */
const RUNS = 5
/** Changes that each kind must have met: else nobody wrote meanwhile, and nothing is proved. */
const LEAST = 20

const heap = Heap.create()
const { root } = heap
root.known = Array.from({ length: 64 }, (_, id) => ({ kind: 'child', id }))
const object = (make) => Object.fromEntries(KEYS.map((key, i) => [key, make(i)]))
root.numbers = object((i) => numberOf(PLACES.numbers + i, 0))
root.texts = object((i) => textOf(PLACES.texts + i, 0))
root.mixed = object((i) => numberOf(PLACES.mixed + i, 0))
root.fixed = new Fixed(object((i) => numberOf(PLACES.fixed + i, 0)))
root.children = object((i) => root.known[i])
root.shapes = Array.from({ length: 8 }, () => ({}))
root.list = []
root.mixedList = []
root.ordered = []
root.focus = 'numbers'
root.counters = { count: 0, list: [0, 0, 0, 0] }
root.mapped = new Map()

const faults = []
function fault(where, value) {
  const bits = typeof value === 'number' ? new BigUint64Array(Float64Array.of(value).buffer)[0].toString(16) : ''
  if (faults.length < 20) faults.push(`${where}: ${typeof value} ${String(value)} ${bits}`)
}

/** Each reads RUN times and gives how often a value was another than the one before. */
const kinds = {
  numbers: () => readObject('numbers'),
  texts: () => readObject('texts'),
  mixed: () => readObject('mixed'),
  fixed: () => readObject('fixed'),
  children: () => {
    const o = root.children
    let changes = 0
    let last
    for (let n = 0; n < RUN; n++) {
      // the child and a property of it are two reads
      const child = o.c
      const { id } = child
      if (child !== root.known[id]) fault('children', id)
      if (child !== last) changes++
      last = child
    }
    return changes
  },
  shapes() {
    let changes = 0
    for (let n = 0; n < RUN;) {
      const o = root.shapes[(n / 24) & 7]
      try {
        for (let twice = 0; twice < 2; twice++) {
          for (let i = 0; i < KEYS.length; i++, n++) {
            const value = o[KEYS[i]]
            if (!belongs(PLACES.shapes + i, value, true)) fault(`shapes.${KEYS[i]}`, value)
            if (value !== undefined) changes++
          }
        }
      } catch (error) {
        if (error.code !== 'ERR_COHEAP_DESTROYED') throw error
        n += 24
        changes++
      }
    }
    return changes
  },
  list: () => readList('list'),
  mixedList: () => readList('mixedList'),
  ordered() {
    const list = root.ordered
    let changes = 0
    let last
    for (let n = 0; n < RUN;) {
      for (let i = 0; i < MOST; i++, n++) {
        const value = list[i]
        if (!belongs(PLACES.ordered + i, value, true)) fault(`ordered[${i}]`, value)
        if (i === 0 && value !== last) {
          changes++
          last = value
        }
      }
    }
    return changes
  },
  mapped() {
    const map = root.mapped
    let changes = 0
    let last
    for (let n = 0; n < RUN;) {
      for (let i = 0; i < MAPPED.length; i++, n++) {
        const value = map.get(MAPPED[i])
        if (!belongs(PLACES.mapped + i, value, true)) fault(`mapped.get('${MAPPED[i]}')`, value)
        if (i === 0 && value !== last) {
          changes++
          last = value
        }
      }
    }
    return changes
  },
  counters() {
    const { counters } = root
    const { list } = counters
    let changes = 0
    let count = counters.count
    let element = list[3]
    for (let n = 0; n < RUN; n += 2) {
      const c = counters.count
      const e = list[3]
      if (!(c >= count) || !Number.isInteger(c)) fault(`the counter after ${count}`, c)
      if (!(e >= element) || !Number.isInteger(e)) fault(`the element after ${element}`, e)
      if (c !== count || e !== element) changes++
      count = c
      element = e
    }
    return changes
  },
}

function readObject(kind) {
  const o = root[kind]
  const first = PLACES[kind]
  let changes = 0
  let last
  for (let n = 0; n < RUN; n += 12) {
    // by name, as programs read: each is a place of its own for the engine
    const { a, b, c, d, e, f, g, h, i, j, k, l } = o
    check(kind, first, a)
    check(kind, first + 1, b)
    check(kind, first + 2, c)
    check(kind, first + 3, d)
    check(kind, first + 4, e)
    check(kind, first + 5, f)
    check(kind, first + 6, g)
    check(kind, first + 7, h)
    check(kind, first + 8, i)
    check(kind, first + 9, j)
    check(kind, first + 10, k)
    check(kind, first + 11, l)
    if (a !== last) changes++
    last = a
  }
  return changes
}

function check(kind, k, value) {
  if (!belongs(k, value, false)) fault(`${kind}.${KEYS[k - PLACES[kind]]}`, value)
}

function readList(kind) {
  const list = root[kind]
  const k = PLACES[kind]
  let changes = 0
  let last
  for (let n = 0; n < RUN;) {
    for (let i = 0; i < 24; i++, n++) {
      const value = list[i]
      if (!belongs(k, value, true)) fault(`${kind}[${i}]`, value)
      if (i === 0 && value !== last) {
        changes++
        last = value
      }
    }
    // whole, in runs; by a method
    for (const value of list) {
      n++
      if (!belongs(k, value, true)) fault(`${kind}, iterated`, value)
    }
    const value = list.at(n % 24)
    if (!belongs(k, value, true)) fault(`${kind}.at`, value)
  }
  return changes
}

const path = fileURLToPath(new URL('writer.mjs', import.meta.url))
const children = Array.from({ length: Number(writers) }, (_, i) => {
  return fork(path, [heap.name, i + 1, ...(plant === undefined ? [] : [plant])].map(String), { execArgv: [] })
})
await Promise.all(children.map((child) => once(child, 'message')))

const tally = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, 0]))
let reads = 0
const began = performance.now()
while (faults.length === 0 && (reads < Number(most) || Object.values(tally).some((n) => n < LEAST))) {
  for (const [kind, read] of Object.entries(kinds)) {
    root.focus = kind
    for (let i = 0; i < RUNS; i++) tally[kind] += read()
    reads += RUNS * RUN
  }
}
const seconds = (performance.now() - began) / 1000
root.stop = true
for (const [code] of await Promise.all(children.map((child) => once(child, 'exit')))) {
  if (code !== 0) faults.push(`a writer ended with ${code}`)
}
for (const violation of heap.verify()) faults.push(JSON.stringify(violation))
heap.close()
console.log(JSON.stringify({ reads, changes: tally, seconds, faults }))
