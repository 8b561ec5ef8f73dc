import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { KEYS, MESSAGES, MONEY, OBJECTS, consume, message, random, timed } from '../cases.mjs'

const require = createRequire(import.meta.url)
const initialize = require('ems')

let ems
function array(dir, name, options, create) {
  ems ??= initialize(1, false, 'user', `/bench-ems-${process.pid}`)
  return ems.new({ filename: join(dir, name), useExisting: !create, ...(create ? { doSetFEtags: true, setFEtags: 'full' } : {}), ...options })
}
const objects = (dir, create) => array(dir, 'objects', { dimensions: [OBJECTS], doDataFill: create, dataFill: 1000 }, create)
const map = (dir, create) => array(dir, 'map', { dimensions: [KEYS.length * 2], heapSize: 4 << 20, useMap: true }, create)
// its queue neither waits nor wraps around: room for every message
const queue = (dir, create) => array(dir, 'queue', { dimensions: [MESSAGES + 1], heapSize: 256 << 20, doDataFill: create, dataFill: 0 }, create)

const transfer = ({ id, seconds, shared }) => {
  const accounts = objects(shared)
  const pick = random(id + 1)
  return () =>
    timed(seconds, () => {
      const from = pick(OBJECTS)
      const to = (from + 1 + pick(OBJECTS - 1)) % OBJECTS
      const tm = ems.tmStart([
        [accounts, from],
        [accounts, to],
      ])
      accounts.write(from, accounts.read(from) - 1)
      accounts.write(to, accounts.read(to) + 1)
      ems.tmEnd(tm, true)
    })
}

const channel = (make, idOf) => ({ role, shared }) => {
  const q = queue(shared)
  if (role === 'producer') {
    return () => {
      const start = performance.now()
      for (let i = 0; i < MESSAGES; i++) q.enqueue(make(i))
      return { seconds: (performance.now() - start) / 1000 }
    }
  }
  return () =>
    consume(() => {
      for (;;) {
        const got = q.dequeue()
        if (got !== undefined) return [idOf(got)]
      }
    })
}

export default {
  setup(test) {
    const dir = mkdtempSync('/dev/shm/bench-ems-')
    objects(dir, true)
    const m = map(dir, true)
    KEYS.forEach((key, i) => m.write(key, i))
    if (test.name.includes('→')) queue(dir, true)
    return dir
  },
  check(test, dir) {
    if (!test.name.startsWith('transfer')) return
    const accounts = objects(dir)
    let sum = 0
    for (let i = 0; i < OBJECTS; i++) sum += accounts.read(i)
    if (sum !== MONEY) throw new Error(`the sum is ${sum}`)
  },
  teardown: (dir, pids) => {
    rmSync(dir, { recursive: true, force: true })
    // a process that was killed has not removed its own
    for (const pid of [process.pid, ...pids]) rmSync(`/dev/shm/bench-ems-${pid}`, { force: true })
  },
  leave: () => rmSync(`/dev/shm/bench-ems-${process.pid}`, { force: true }),
  cases: {
    'property read': ({ seconds, shared }) => {
      const list = objects(shared)
      const pick = random(1)
      let sum = 0
      return () => {
        const result = timed(seconds, () => (sum += list.read(pick(OBJECTS))))
        if (!(sum > 0)) throw new Error('nothing was read')
        return result
      }
    },
    'property write': ({ seconds, shared }) => {
      const list = objects(shared)
      const pick = random(1)
      return () => timed(seconds, (i) => list.write(pick(OBJECTS), i))
    },
    'map get': ({ seconds, shared }) => {
      const m = map(shared)
      const pick = random(1)
      return () =>
        timed(seconds, () => {
          const i = pick(KEYS.length)
          if (m.read(KEYS[i]) !== i) throw new Error(`wrong value for ${KEYS[i]}`)
        })
    },
    'map set': ({ seconds, shared }) => {
      const m = map(shared)
      const pick = random(1)
      return () => timed(seconds, (i) => m.write(KEYS[pick(KEYS.length)], i))
    },
    'transfer, 1 process': transfer,
    'transfer, 2 processes': transfer,
    'numbers 1 → 1': channel((i) => i, (m) => m),
    // as text: what it makes of an object by itself is now and then read before it is written
    'objects 1 → 1': channel((i) => JSON.stringify(message(i)), (m) => JSON.parse(m).id),
  },
}
