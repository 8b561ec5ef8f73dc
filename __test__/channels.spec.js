// Channels: order, room, waiting, closing; in one process, in transactions and across processes.
import test from 'ava'
import { Heap, isShared, snapshot } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

const heap = Heap.create()
test.after.always(() => heap.close())
let last = 0
const fresh = (options) => heap.channel('c' + ++last, options)
const later = (ms = 10) => new Promise((resolve) => setTimeout(resolve, ms))

test('messages of every kind are taken in order', (t) => {
  const c = fresh()
  const messages = [
    1,
    -0,
    NaN,
    'a',
    'a longer text',
    true,
    null,
    5n,
    Symbol.for('s'),
    new Date(3),
    Object.freeze([1, { a: 1 }]),
    { o: [1] },
    [1, 2],
    new Map([[1, 2]]),
    new Float64Array([1, 2]),
  ]
  messages.forEach((m) => t.not(c.tryPut(m), undefined))
  t.is(c.length, messages.length)
  for (const m of messages) t.deepEqual(snapshot(c.tryTake()), m)
  t.is(c.tryTake(), undefined)
  t.is(c.length, 0)
})

test('what is put is live for both sides', (t) => {
  const c = fresh()
  const mine = c.tryPut({ n: 1 })
  t.true(isShared(mine))
  const taken = c.tryTake()
  t.is(taken, mine)
  taken.n++
  t.is(mine.n, 2)
  t.is(c.tryPut(mine), mine)
  t.is(c.peek(), mine)
  t.is(c.length, 1)
  t.is(c.tryTake(), mine)
  t.is(c.peek(), undefined)
  t.is(c.tryPut(7), 7)
  t.is(c.tryPut(null), null)
})

test('undefined and what cannot be stored are refused, and nothing is put', async (t) => {
  const c = fresh()
  t.throws(() => c.tryPut(undefined), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.throws(() => c.tryPut({ f() {} }), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE', message: /\$\.f/ })
  await t.throwsAsync(
    c.put(() => 1),
    { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' },
  )
  await t.throwsAsync(c.putMany([1, () => 1, 3]), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.throws(() => c.tryPutMany([1, undefined]), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
  t.is(c.length, 0)
})

test('a capacity: tryPut says no, put waits for room in order', async (t) => {
  const c = fresh({ capacity: 2 })
  t.is(c.tryPut(1), 1)
  t.is(c.tryPut(2), 2)
  t.is(c.tryPut(3), undefined)
  const waiting = [c.put(3), c.put(4), c.put({ five: 5 })]
  t.is(c.tryPutMany([9]), 0)
  t.is(c.tryTake(), 1)
  t.is(await waiting[0], 3)
  t.deepEqual(c.takeMany(10), [2, 3])
  t.is(await waiting[1], 4)
  const five = await waiting[2]
  t.true(isShared(five))
  t.is(c.tryTake(), 4)
  t.is(c.tryTake(), five)
})

test('takers wait, and are served in order', async (t) => {
  const c = fresh()
  const takers = [c.take(), c.take(), c.take()]
  await later()
  c.tryPut('a')
  c.tryPutMany(['b', 'c'])
  t.deepEqual(await Promise.all(takers), ['a', 'b', 'c'])
})

test('waits end by timeout, by signal, and at once with timeout 0', async (t) => {
  const c = fresh({ capacity: 1 })
  await t.throwsAsync(c.take({ timeout: 10 }), { code: 'ERR_COHEAP_TIMEOUT' })
  await t.throwsAsync(c.take({ timeout: 0 }), { code: 'ERR_COHEAP_TIMEOUT' })
  t.throws(() => c.takeSync({ timeout: 0 }), { code: 'ERR_COHEAP_TIMEOUT' })
  t.throws(() => c.takeSync({ timeout: 10 }), { code: 'ERR_COHEAP_TIMEOUT' })
  const reason = new Error('enough')
  t.is(await t.throwsAsync(c.take({ signal: AbortSignal.abort(reason) })), reason)
  const controller = new AbortController()
  const aborted = c.take({ signal: controller.signal })
  const next = c.take()
  setTimeout(() => controller.abort(reason), 5)
  t.is(await t.throwsAsync(aborted), reason)
  c.tryPut('for the next')
  t.is(await next, 'for the next')
  c.tryPut('full')
  await t.throwsAsync(c.put(2, { timeout: 10 }), { code: 'ERR_COHEAP_TIMEOUT' })
  t.throws(() => c.putSync(2, { timeout: 10 }), { code: 'ERR_COHEAP_TIMEOUT' })
  const put = c.put(3, { signal: controller.signal })
  t.is(await t.throwsAsync(put), reason)
  t.is(c.length, 1)
  for (const wait of [{ timeout: -1 }, { timeout: 'x' }, { signal: 5 }, { ref: 1 }, 5]) {
    await t.throwsAsync(c.take(wait), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  }
})

test('putMany goes in in runs as room comes; a wait that ends leaves a prefix', async (t) => {
  const c = fresh({ capacity: 4 })
  const all = Array.from({ length: 50 }, (_, i) => i)
  const putting = c.putMany(all)
  const taken = []
  while (taken.length < 50) {
    taken.push(...c.takeMany(3))
    await later(0)
  }
  await putting
  t.deepEqual(taken, all)
  await t.throwsAsync(c.putMany(all, { timeout: 10 }), { code: 'ERR_COHEAP_TIMEOUT' })
  t.deepEqual(c.takeMany(100), [0, 1, 2, 3])
  t.is(c.tryPutMany(all), 4)
  t.deepEqual(c.takeMany(2), [0, 1])
  await c.putMany([])
})

test('closing: takers drain and end, putters are told, waiting ones too', async (t) => {
  const c = fresh({ capacity: 2 })
  await c.putMany([1, 2])
  const waiting = c.put(3)
  c.close()
  await t.throwsAsync(waiting, { code: 'ERR_COHEAP_CHANNEL_CLOSED' })
  t.true(c.closed)
  t.throws(() => c.tryPut(4), { code: 'ERR_COHEAP_CHANNEL_CLOSED' })
  const seen = []
  for await (const m of c) seen.push(m)
  t.deepEqual(seen, [1, 2])
  t.throws(() => c.tryTake(), { code: 'ERR_COHEAP_CHANNEL_CLOSED' })
  await t.throwsAsync(c.take(), { code: 'ERR_COHEAP_CHANNEL_CLOSED' })
  t.throws(() => c.takeSync(), { code: 'ERR_COHEAP_CHANNEL_CLOSED' })
  t.deepEqual(c.takeMany(5), [])
  const d = fresh()
  const taker = d.take()
  setTimeout(() => d.close(), 5)
  await t.throwsAsync(taker, { code: 'ERR_COHEAP_CHANNEL_CLOSED' })
})

test('last in, first out', (t) => {
  const c = fresh({ order: 'lifo' })
  c.tryPutMany([1, 2, 3])
  t.is(c.peek(), 3)
  t.deepEqual([c.tryTake(), c.tryTake(), c.tryTake(), c.tryTake()], [3, 2, 1, undefined])
})

test('the first to name a channel decides', (t) => {
  const c = heap.channel('decided', { capacity: 3 })
  t.is(heap.channel('decided'), c)
  t.is(heap.channel('decided', { capacity: 3 }), c)
  t.throws(() => heap.channel('decided', { capacity: 4 }), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => heap.channel('decided', { capacity: 3, order: 'lifo' }), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  for (const name of ['', '.x', 'a/b', 5, undefined, 'x'.repeat(65)]) {
    t.throws(() => heap.channel(name), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  }
  for (const options of [{ capacity: 0 }, { capacity: 1.5 }, { capacity: '3' }, { order: 'random' }, 5]) {
    t.throws(() => heap.channel('bad', options), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  }
})

test('in a transaction: puts appear at its commit, takes come back when it is undone', async (t) => {
  const c = fresh()
  c.tryPutMany(['a', 'b'])
  const tx = heap.begin()
  tx.run(() => {
    t.is(c.tryTake(), 'a')
    c.tryPut({ from: 'tx' })
    c.tryPutMany([1, 2])
  })
  t.is(c.length, 2)
  tx.commit()
  t.is(c.length, 4)
  t.is(c.tryTake(), 'b')
  t.is(c.tryTake().from, 'tx')
  t.deepEqual(c.takeMany(9), [1, 2])
  c.tryPutMany(['x', 'y'])
  t.throws(() =>
    heap.transaction(() => {
      t.is(c.tryTake(), 'x')
      c.tryPut('never')
      throw new Error('undo')
    }),
  )
  t.deepEqual(c.takeMany(9), ['x', 'y'])
  for (const wait of ['put', 'take', 'putMany']) {
    let refused
    heap.transaction(() => void (refused = c[wait]([1])))
    await t.throwsAsync(refused, { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  }
  t.throws(() => heap.transaction(() => c.takeSync()), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => heap.transaction(() => c.putSync(1)), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
})

test('closing the heap ends the waits', async (t) => {
  const other = Heap.create()
  const c = other.channel('c', { capacity: 1 })
  const taking = c.take()
  const d = other.channel('d', { capacity: 1 })
  d.tryPut(1)
  const putting = d.put(2)
  other.close()
  await t.throwsAsync(taking, { code: 'ERR_COHEAP_CLOSED' })
  await t.throwsAsync(putting, { code: 'ERR_COHEAP_CLOSED' })
  t.throws(() => c.tryTake(), { code: 'ERR_COHEAP_CLOSED' })
})

test('an unreferenced wait lets the process end, a referenced one does not', async (t) => {
  const { spawnSync } = await import('node:child_process')
  const index = new URL('../dist/index.js', import.meta.url).href
  const run = (wait) =>
    spawnSync(
      process.execPath,
      [
        '--input-type=module',
        '-e',
        `
      import { Heap } from '${index}'
      const heap = Heap.create()
      heap.channel('c').take(${wait}).then(() => {}, (e) => console.log(e.code))
      console.log('waiting')`,
      ],
      { encoding: 'utf8', timeout: 60_000 },
    ).stdout
  t.is(run('{ ref: false }'), 'waiting\n')
  t.is(run('{ timeout: 30 }'), 'waiting\nERR_COHEAP_TIMEOUT\n')
})

test('timers go on while a loop always finds a message, or room', async (t) => {
  const c = fresh()
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  // for ever, if the event loop does not turn
  let put = 0
  while (ticks < 3) await c.put(put++)
  ticks = 0
  let taken = 0
  while (ticks < 3) {
    c.tryPut(put++)
    if ((await c.take()) !== taken++) t.fail(`message ${taken}`)
  }
  ticks = 0
  while (ticks < 3) await c.putMany([put++])
  clearInterval(timer)
  t.is(c.length, put - taken)
})

test('timers go on while a process waits', async (t) => {
  const c = fresh()
  const taking = c.take()
  let ticks = 0
  const timer = setInterval(() => ticks++, 1)
  while (ticks < 50) await later(5)
  clearInterval(timer)
  c.tryPut(1)
  t.is(await taking, 1)
})

test("three producers and four consumers: each message once, each producer's in order", async (t) => {
  const own = Heap.create()
  const c = own.channel('jobs', { capacity: 100 })
  const n = 3000
  const produce = async ({ heap }, from, n) => {
    const c = heap.channel('jobs')
    for (let i = 0; i < n;) {
      if (i % 3 === 0) {
        const batch = []
        for (; batch.length < 7 && i < n; i++) batch.push({ from, i, text: 'a text of some length' })
        await c.putMany(batch)
      } else await c.put({ from, i: i++, list: [i], bytes: new Uint8Array(3) })
    }
  }
  const consume = async ({ heap }) => {
    const seen = []
    for await (const m of heap.channel('jobs')) seen.push([m.from, m.i])
    return seen
  }
  const producers = await Promise.all([1, 2, 3].map(() => puppet(own.name)))
  const consumers = await Promise.all([1, 2].map(() => puppet(own.name)))
  const taken = Promise.all(consumers.map((p) => p.run(consume)))
  await Promise.all(producers.map((p, i) => p.run(produce, i, n)))
  c.close()
  const lists = await taken
  const all = new Set()
  for (const list of lists) {
    const highest = [-1, -1, -1]
    for (const [from, i] of list) {
      t.true(i > highest[from])
      highest[from] = i
      all.add(`${from} ${i}`)
    }
  }
  t.is(all.size, 3 * n)
  t.is(lists[0].length + lists[1].length, 3 * n)
  await Promise.all([...producers, ...consumers].map((p) => p.end()))
  own.close()
})

test('synchronous takers and putters of two processes take turns', async (t) => {
  const own = Heap.create()
  const there = own.channel('there', { capacity: 1 })
  const back = own.channel('back', { capacity: 1 })
  const b = await puppet(own.name)
  const echoing = b.run(({ heap }) => {
    const there = heap.channel('there')
    const back = heap.channel('back')
    for (;;) {
      const m = there.takeSync()
      if (m === 'end') return 'ended'
      back.putSync(m + 1)
    }
  })
  for (let i = 0; i < 1000; i++) {
    there.putSync(i)
    t.is(back.takeSync(), i + 1)
  }
  there.putSync('end')
  t.is(await echoing, 'ended')
  await b.end()
  own.close()
})

test('messages that find no room are freed', (t) => {
  const heap = Heap.create()
  const five = [1, 2, 3, 4, 5].map((i) => `a text that needs a block of its own ${i}`)
  const inside = (c, end) => heap.transaction(() => (c.tryPutMany(five), end()))
  const rounds = [
    (c) => (c.tryPutMany(five), c.takeMany(10).length),
    (c) => (five.forEach((m) => c.tryPut(m)), c.takeMany(10).length),
    (c) => (inside(c, () => 0), c.takeMany(10).length),
    (c) => {
      t.throws(() => inside(c, () => BigInt(0.5)), { instanceOf: RangeError })
      return c.tryPutMany(five) + c.takeMany(10).length - 2
    },
  ]
  for (const order of ['fifo', 'lifo']) {
    rounds.forEach((round, i) => {
      const c = heap.channel(order + i, { capacity: 2, order })
      for (let i = 0; i < 100; i++) t.is(round(c), 2)
      const { used } = heap.stats()
      for (let i = 0; i < 200; i++) round(c)
      t.is(heap.stats().used, used)
    })
  }
  heap.close()
})

test('messages that wait for room are freed when the wait or the heap ends', async (t) => {
  const heap = Heap.create()
  t.teardown(() => heap.close())
  const c = heap.channel('c', { capacity: 2 })
  const five = [1, 2, 3, 4, 5].map((i) => `a text that needs a block of its own ${i}`)
  const round = async () => {
    await t.throwsAsync(c.putMany(five, { timeout: 1 }), { code: 'ERR_COHEAP_TIMEOUT' })
    t.deepEqual(c.takeMany(10), five.slice(0, 2))
  }
  await round()
  const { used } = heap.stats()
  for (let i = 0; i < 5; i++) await round()
  t.is(heap.stats().used, used)

  const other = await puppet(heap.name)
  t.teardown(() => other.end())
  await other.run(async ({ heap }, five) => {
    const c = heap.channel('c')
    const waits = [c.putMany(five), c.put(five[0])].map((wait) => wait.catch(() => {}))
    heap.close()
    await Promise.all(waits)
  }, five)
  t.deepEqual(c.takeMany(10), five.slice(0, 2))
  t.is(heap.stats().used, used)
})

const freeze = Object.freeze

/** What comes out of a channel that all of this went into at once. */
async function throughMany(messages) {
  const c = fresh()
  await c.putMany(messages)
  return c.takeMany(messages.length)
}

test('runs of small frozen objects come out as they went in', async (t) => {
  const texts = ['', 'a', 'same', 'same', 'same', 'other', 'Ω', 'Ω', 'ü'.repeat(31), 'ü'.repeat(31), 'x'.repeat(33), 'x'.repeat(33), '\ud800', 'same'] // prettier-ignore
  const values = [1, -0, NaN, 2 ** 31, 1.5, true, false, null, undefined, -(2 ** 31)]
  const messages = []
  for (let i = 0; i < 500; i++) {
    const s = texts[(i * 7) % texts.length]
    const v = values[i % values.length]
    if (i % 11 === 0) messages.push(i / 2)
    else if (i % 13 === 0)
      messages.push(freeze({ v, s, i })) // the same keys in another order
    else if (i % 17 === 0) messages.push(freeze({ i, s, v, more: s + i }))
    else if (i % 19 === 0) messages.push(freeze({}))
    else if (i % 23 === 0) messages.push('a text')
    else if (i % 29 === 0) messages.push({ live: i, s })
    else if (i % 31 === 0) messages.push(freeze(Object.defineProperty({ i, s, v }, 'hidden', { value: 1 })))
    else messages.push(freeze({ i, s, v }))
  }
  const taken = await throughMany(messages)
  const back = taken.map((m) => snapshot(m))
  t.deepEqual(back, messages)
  back.forEach((m, i) => {
    if (typeof m === 'object') t.deepEqual(Object.keys(m), Object.keys(messages[i]))
    if (Object.hasOwn(m, 'v')) t.true(Object.is(m.v, messages[i].v))
    t.is(isShared(taken[i]), typeof m === 'object' && Object.hasOwn(m, 'live'))
  })
})

test('a run is refused as a whole for the one that cannot be stored, wherever it stands', async (t) => {
  const good = (i) => freeze({ i, s: 'good' })
  const own = Symbol('own')
  const bad = [
    [freeze({ i: 1, s: 'x', [own]: 1 }), 'Symbol(own)'],
    [freeze({ i: 1, s: 'x', get [own]() { throw new Error('a getter was called') } }), 'Symbol(own)'], // prettier-ignore
    [freeze({ i: 1, get s() { throw new Error('a getter was called') } }), '$.s'], // prettier-ignore
    [freeze({ i: 1, set s(_) {} }), '$.s'],
    [freeze({ i: 1, s: () => {} }), '$.s'],
    [freeze({ i: 1, s: freeze({ f: () => {} }) }), '$.s.f'],
  ]
  const c = fresh()
  for (const [message, path] of bad) {
    for (const at of [0, 1, 50, 99]) {
      const messages = Array.from({ length: 100 }, (_, i) => good(i))
      messages[at] = message
      const error = await t.throwsAsync(c.putMany(messages), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
      t.true(error.message.includes(path), error.message)
      t.throws(() => c.tryPutMany(messages), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
      t.is(c.length, 0)
    }
  }
  const key = Symbol.for('shared')
  const messages = [good(0), freeze({ i: 1, s: 'x', [key]: 2 }), good(2), 7]
  t.deepEqual(
    (await throughMany(messages)).map((m) => snapshot(m)),
    messages,
  )
})

test('what runs while a run is copied in may use the heap: nothing of the run is mixed up', async (t) => {
  const other = fresh()
  heap.root.read = {
    text: 'a text that is long enough to go by way of staging Ω',
    list: ['one', 'two'],
    big: 3n ** 90n,
  }
  // reads, stores and messages of its own; answers come and values go where the run stands
  const use = () => {
    t.is(heap.root.read.text.at(-1), 'Ω')
    t.is(heap.root.read.big, 3n ** 90n)
    t.is(JSON.stringify(heap.root.read.list), '["one","two"]')
    heap.root.written = { at: [freeze({ deep: 'x'.repeat(40) })], n: 1 }
    heap.root.large = 'Ω'.repeat(200_000)
    t.is(heap.root.large.length, 200_000)
    other.tryPutMany([freeze({ i: 5, s: 'inner' }), freeze({ i: 6, s: 'inner' })])
    t.deepEqual(other.takeMany(9), [
      { i: 5, s: 'inner' },
      { i: 6, s: 'inner' },
    ])
  }
  const traps = {}
  for (const trap of ['getPrototypeOf', 'isExtensible', 'ownKeys', 'getOwnPropertyDescriptor', 'get']) {
    traps[trap] = (...args) => {
      use()
      return Reflect[trap](...args)
    }
  }
  const good = (i) => freeze({ i, s: i % 3 === 0 ? 'three' : 'other' })
  const odd = [
    new Proxy(freeze({ i: 1, s: 'a frozen target' }), traps),
    new Proxy(freeze({ i: 1, s: freeze(['a frozen target']) }), traps),
    new Proxy({ i: 1, s: 'a target' }, traps),
    new Proxy(freeze([1, 'an array']), traps),
    freeze({ i: 1, s: 'x', get [Symbol.for('of an accessor')]() { return use() } }), // prettier-ignore
  ]
  for (const message of odd) {
    for (const at of [0, 1, 29]) {
      const messages = Array.from({ length: 30 }, (_, i) => good(i))
      messages[at] = message
      if (message === odd.at(-1)) {
        await t.throwsAsync(throughMany(messages), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE' })
        continue
      }
      const back = (await throughMany(messages)).map((m) => snapshot(m))
      t.deepEqual(back[at], JSON.parse(JSON.stringify(message)))
      back.splice(at, 1)
      messages.splice(at, 1)
      t.deepEqual(back, messages)
    }
  }
  const boom = new Error('boom')
  for (const trap of Object.keys(traps)) {
    const proxy = new Proxy(freeze({ i: 1, s: 'x' }), { [trap]: () => { throw boom } }) // prettier-ignore
    const putting = throughMany([good(0), proxy, good(2)])
    // `get` is not asked: a descriptor has the value
    if (trap === 'get')
      t.deepEqual(
        (await putting).map((m) => snapshot(m)),
        [good(0), { i: 1, s: 'x' }, good(2)],
      )
    else t.is(await t.throwsAsync(putting), boom)
  }
  const { proxy, revoke } = Proxy.revocable(freeze({ i: 1, s: 'x' }), {})
  revoke()
  await t.throwsAsync(throughMany([good(0), proxy]), { code: 'ERR_COHEAP_UNSUPPORTED_TYPE', message: /revoked/ })
})

test('what was taken is put on, in runs', async (t) => {
  const messages = Array.from({ length: 50 }, (_, i) => freeze({ i, s: 'on and on' }))
  const c = fresh()
  await c.putMany(messages)
  for (let i = 0; i < 3; i++) await c.putMany(c.takeMany(100))
  const back = c.takeMany(100)
  t.deepEqual(back, messages)
  t.throws(() => (back[3].i = 1), { code: 'ERR_COHEAP_READ_ONLY' })
  const map = heap.share(new Map([[1, 2]]))
  const disguised = freeze(Object.setPrototypeOf(map, Object.prototype))
  await c.putMany([freeze({}), disguised])
  t.is(c.takeMany(2)[1], disguised)
})
