// Changes all that the reader reads, as fast as it can, until it is told to stop.
//   node writer.mjs HEAP SEED [plant]      plant: now and then a value is of another place, which a reader must find
import { Heap } from '../../dist/index.js'
import { randomly } from '../fixtures/random.js'
import { KEYS, MAPPED, MOST, PLACES } from './places.mjs'
import { numberOf, textOf, valueOf } from './tagged.mjs'

const [name, seed, plant] = process.argv.slice(2)
const heap = Heap.open(name)
const { root } = heap
const dice = randomly(Number(seed))
const children = [...root.known]
let steps = 0

/** The place to write for: mostly the right one. */
function place(k) {
  return plant !== undefined && steps % 1000 === 0 ? (k + 1) % 128 : k
}

function changeList(list, k, make) {
  const value = () => make(place(k), dice.int(2 ** 20), children)
  switch (dice.int(8)) {
    case 0:
      return list.length < 40 && list.push(value(), value())
    case 1:
      return list.shift()
    case 2:
      return list.length < 40 && list.unshift(value())
    case 3:
      return list.splice(dice.int(5), dice.int(4), value(), value())
    case 4:
      return dice.int(50) === 0 && (list.length = 0)
    case 5:
      return list.pop()
    default:
      return list.length > 0 && (list[dice.int(list.length)] = value())
  }
}

const changes = {
  numbers(i, k) {
    root.numbers[KEYS[i]] = numberOf(place(k), dice.int(4096))
  },
  texts(i, k) {
    root.texts[KEYS[i]] = textOf(place(k), dice.int(2 ** 20))
  },
  mixed(i, k) {
    root.mixed[KEYS[i]] = valueOf(place(k), dice.int(2 ** 20), children)
  },
  fixed(i, k) {
    root.fixed[KEYS[i]] = (i % 2 === 0 ? numberOf : valueOf)(place(k), dice.int(2 ** 20), children)
  },
  children(i) {
    root.children[KEYS[i]] = dice.pick(children)
  },
  // keys come and go, in any order, in objects that come and go
  shapes(i, k) {
    const at = dice.int(root.shapes.length)
    const key = KEYS[i]
    const object = root.shapes[at]
    const what = dice.int(24)
    if (what === 0) {
      const of = (i) => [KEYS[i], valueOf(place(PLACES.shapes + i), dice.int(2 ** 20), children)]
      const some = KEYS.map((_, i) => i).filter(() => dice.int(2) === 0)
      if (dice.int(2) === 0) some.reverse()
      root.shapes[at] = Object.fromEntries(some.map(of))
      // whoever still reads the old one reads freed memory, or is told so
      heap.destroy(object)
    } else if (what === 1) delete object[key]
    else object[key] = valueOf(place(k), dice.int(2 ** 20), children)
  },
  list: (_, k) => changeList(root.list, k, numberOf),
  mixedList: (_, k) => changeList(root.mixedList, k, valueOf),
  // each element has a place of its own at any moment, but the list moves in its body, and from body to body
  ordered() {
    const { ordered } = root
    const value = (i) => valueOf(place(PLACES.ordered + i), dice.int(2 ** 20), children)
    const n = ordered.length
    const what = dice.int(6)
    if (what === 0 && n < MOST) ordered.push(value(n))
    else if (what === 1) ordered.pop()
    else if (what === 2) ordered.splice(0, n, ...Array.from({ length: 2 + dice.int(MOST - 2) }, (_, i) => value(i)))
    else if (what === 3) {
      heap.transaction(() => {
        ordered.shift()
        ordered.push(0)
        for (let i = 0; i < ordered.length; i++) ordered[i] = value(i)
      })
    } else if (n > 0) {
      const i = dice.int(n)
      ordered[i] = value(i)
    }
  },
  // entries come and go, the body is made anew, and beyond 64 entries there are stripes
  mapped(i, k) {
    const { mapped } = root
    const what = dice.int(200)
    if (what < 20) mapped.delete(MAPPED[i])
    else if (what === 20) mapped.clear()
    else if (what === 21) for (let n = 0; n < 100; n++) mapped.set(n, numberOf(127, n))
    else if (what === 22) for (let n = 0; n < 100; n++) mapped.delete(n)
    else if (what === 23 && dice.int(4) === 0) root.mapped = new Map(mapped)
    else mapped.set(MAPPED[i], (what % 4 === 0 ? valueOf : numberOf)(place(k), dice.int(2 ** 20), children))
  },
  // only ever grows
  counters() {
    root.counters.count += 1
    root.counters.list[3] += 1
  },
}

process.send('writing')
const all = Object.keys(changes)
while (!root.stop) {
  // mostly what is being read
  const { focus } = root
  for (let i = 0; i < 50; i++) {
    steps++
    const kind = dice.int(10) === 0 ? dice.pick(all) : focus
    const key = dice.int(KEYS.length)
    changes[kind](key, PLACES[kind] + (/list|ordered/i.test(kind) ? 0 : key))
  }
}
heap.close()
process.disconnect()
