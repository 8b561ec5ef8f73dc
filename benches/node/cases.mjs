// What is measured. A case names the roles of its processes; a peer that can do it has a function of that name.

export const PEERS = ['coheap', 'shm', 'ems', 'lmdb', 'socket', 'ipc']

/** Objects in the property cases, accounts in the transfers. */
export const OBJECTS = 1000
/** Entries of the map. */
export const ENTRIES = 10_000
/** Money in the bank at the start. */
export const MONEY = OBJECTS * 1000
/** Messages of one run: so many that starting and compiling is a small part of it. */
export const MESSAGES = 2_000_000

const one = ['worker']
const two = ['worker', 'worker']
const pair = ['producer', 'consumer']

export const CASES = [
  { name: 'property read', roles: one },
  { name: 'property write', roles: one },
  { name: 'struct field read', roles: one },
  { name: 'struct field write', roles: one },
  { name: 'map get', roles: one },
  { name: 'map set', roles: one },
  { name: 'transfer, 1 process', roles: one },
  { name: 'transfer, 2 processes', roles: two },
  { name: 'numbers 1 → 1', roles: pair },
  { name: 'numbers 1 → 1, batches', roles: pair },
  { name: 'objects 1 → 1', roles: pair },
  { name: 'objects 1 → 1, batches', roles: pair },
]

/** The keys of the map. */
export const KEYS = Array.from({ length: ENTRIES }, (_, i) => `user:${i}`)

/** Runs `step(i)` in chunks for about so many seconds; gives the count and the time. */
export function timed(seconds, step) {
  const chunk = 500
  for (let i = 0; i < 2000; i++) step(i)
  let ops = 0
  const start = performance.now()
  let now = start
  do {
    for (let i = 0; i < chunk; i++) step(ops + i)
    ops += chunk
    now = performance.now()
  } while (now - start < seconds * 1000)
  return { ops, seconds: (now - start) / 1000 }
}

/** A cheap random number generator, so that no engine can know the next index. */
export function random(seed) {
  let x = seed * 2654435761 + 1
  return (n) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % n
  }
}

/** The object of the message cases. */
export const message = (i) => ({ id: i, name: 'a small object', value: i / 2 })

/** The next `n` messages, as a list. (`Array.from` with a function would cost more than to send them.) */
export function filled(n, make) {
  const list = []
  for (let k = 0; k < n; k++) list.push(make(k))
  return list
}

/** Times a consumer: `next()` gives the ids of what arrived, or a promise of them. */
export async function consume(next) {
  let expected = 0
  const start = performance.now()
  while (expected < MESSAGES) {
    const ids = await next()
    for (const id of ids) {
      if (id !== expected++) throw new Error(`message ${id} came where ${expected - 1} was due`)
    }
  }
  return { ops: MESSAGES, seconds: (performance.now() - start) / 1000 }
}
