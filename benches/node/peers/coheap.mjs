import { Heap, struct } from 'coheap'
import { KEYS, MESSAGES, MONEY, OBJECTS, consume, filled, message, random, timed } from '../cases.mjs'

const BATCH = 100
let heap
const open = (name) => (heap = Heap.open(name)).root

const transfer = ({ id, seconds, shared }) => {
  const { accounts } = open(shared)
  const list = [...accounts]
  const pick = random(id + 1)
  return () =>
    timed(seconds, () => {
      const from = pick(OBJECTS)
      const to = (from + 1 + pick(OBJECTS - 1)) % OBJECTS
      heap.transaction(() => {
        list[from].balance -= 1
        list[to].balance += 1
      })
    })
}

const reading = (name) => ({ seconds, shared }) => {
  const list = [...open(shared)[name]]
  const pick = random(1)
  let sum = 0
  return () => {
    const result = timed(seconds, () => (sum += list[pick(OBJECTS)].value))
    if (!(sum > 0)) throw new Error('nothing was read')
    return result
  }
}

const writing = (name) => ({ seconds, shared }) => {
  const list = [...open(shared)[name]]
  const pick = random(1)
  return () => {
    const result = timed(seconds, (i) => (list[pick(OBJECTS)].value = i))
    list[3].value = -5
    if (heap.root[name][3].value !== -5) throw new Error('nothing was written')
    return result
  }
}

const channel = (make, idOf, batch) => async ({ role, shared }) => {
  open(shared)
  const c = heap.channel('messages', { capacity: 4096 })
  if (role === 'consumer') {
    if (batch === 1) return () => consumeSync(c, idOf)
    return () =>
      consume(() => {
        const list = c.takeMany(BATCH)
        return list.length > 0 ? list.map(idOf) : c.take().then((m) => [idOf(m)])
      })
  }
  return async () => {
    const start = performance.now()
    if (batch === 1) {
      for (let i = 0; i < MESSAGES; i++) c.putSync(make(i))
    } else {
      for (let i = 0; i < MESSAGES; i += BATCH) {
        const list = filled(BATCH, (k) => make(i + k))
        let sent = c.tryPutMany(list)
        while (sent < BATCH) {
          await c.put(list[sent++])
          sent += c.tryPutMany(list.slice(sent))
        }
      }
    }
    return { seconds: (performance.now() - start) / 1000 }
  }
}

function consumeSync(c, idOf) {
  const start = performance.now()
  for (let i = 0; i < MESSAGES; i++) {
    const id = idOf(c.takeSync())
    if (id !== i) throw new Error(`message ${id} came where ${i} was due`)
  }
  return { ops: MESSAGES, seconds: (performance.now() - start) / 1000 }
}

const Metrics = struct('Metrics', { value: 'f64', hits: 'i32', label: 'string', next: 'any' })
const frozen = (i) => Object.freeze(message(i))

export default {
  setup() {
    heap = Heap.create(undefined, { size: '64MiB' })
    const { root } = heap
    root.objects = Array.from({ length: OBJECTS }, (_, i) => ({ value: i }))
    root.structs = Array.from({ length: OBJECTS }, (_, i) => new Metrics({ value: i }))
    root.accounts = Array.from({ length: OBJECTS }, () => ({ balance: MONEY / OBJECTS }))
    root.map = new Map(KEYS.map((key, i) => [key, i]))
    return heap.name
  },
  check(test) {
    if (!test.name.startsWith('transfer')) return
    const sum = heap.transaction(() => heap.root.accounts.reduce((a, x) => a + x.balance, 0))
    if (sum !== MONEY) throw new Error(`the sum is ${sum}`)
  },
  teardown: () => heap.close(),
  leave: () => heap.close(),
  cases: {
    'property read': reading('objects'),
    'property write': writing('objects'),
    'struct field read': reading('structs'),
    'struct field write': writing('structs'),
    'map get': ({ seconds, shared }) => {
      const { map } = open(shared)
      const pick = random(1)
      return () =>
        timed(seconds, () => {
          const i = pick(KEYS.length)
          if (map.get(KEYS[i]) !== i) throw new Error(`wrong value for ${KEYS[i]}`)
        })
    },
    'map set': ({ seconds, shared }) => {
      const { map } = open(shared)
      const pick = random(1)
      return () => {
        const result = timed(seconds, (i) => map.set(KEYS[pick(KEYS.length)], i))
        map.set(KEYS[7], -7)
        if (map.get(KEYS[7]) !== -7 || map.size !== KEYS.length) throw new Error('nothing was set')
        return result
      }
    },
    'transfer, 1 process': transfer,
    'transfer, 2 processes': transfer,
    'numbers 1 → 1': channel((i) => i, (m) => m, 1),
    'numbers 1 → 1, batches': channel((i) => i, (m) => m, BATCH),
    'objects 1 → 1': channel(frozen, (m) => m.id, 1),
    'objects 1 → 1, batches': channel(frozen, (m) => m.id, BATCH),
  },
}
