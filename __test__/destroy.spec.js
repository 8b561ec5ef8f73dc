// destroy: freed now, and every later use in any process says so. ref and deref: a live object by any means.
import test from 'ava'
import { Worker } from 'node:worker_threads'
import { inspect } from 'node:util'
import { Heap, register, snapshot } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

class Account {
  constructor(balance) {
    this.balance = balance
  }
  deposit(amount) {
    return (this.balance += amount)
  }
}
register(Account)

const heap = Heap.create()
test.after.always(() => heap.close())
const { root } = heap
const gone = { code: 'ERR_COHEAP_DESTROYED' }

test.serial('every use of a destroyed object throws, and the property that holds it can be overwritten', (t) => {
  const uses = {
    record: [{ a: 1 }, (o) => o.a, (o) => (o.a = 2), (o) => Object.keys(o), (o) => 'a' in o, (o) => delete o.a],
    instance: [new Account(1), (o) => o.balance, (o) => o.deposit(1), (o) => JSON.stringify(o), (o) => ({ ...o })],
    table: [Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`key ${i}`, i])), (o) => o['key 7'], Object.keys],
    array: [
      [1, 'a text that has a block'],
      (o) => o[0],
      (o) => o.length,
      (o) => o.push(1),
      (o) => [...o],
      (o) => (o[0] = 1),
    ],
    named: [Object.assign([1], { n: 'also freed, I say' }), (o) => o.n, (o) => o.at(0), (o) => (o.length = 0)],
    map: [new Map([['k', 1]]), (o) => o.get('k'), (o) => o.size, (o) => o.set('k', 2), (o) => [...o], (o) => o.clear()],
    large: [
      new Map(Array.from({ length: 500 }, (_, i) => [i, 1])),
      (o) => o.get(7),
      (o) => o.delete(7),
      (o) => o.set(7, 8),
    ],
    set: [new Set(['k']), (o) => o.has('k'), (o) => o.add('l'), (o) => [...o]],
  }
  for (const [key, [value, ...tries]] of Object.entries(uses)) {
    root[key] = value
    const object = root[key]
    // read once, so that what reads without crossing has all it needs
    for (const use of tries.slice(0, 2)) t.notThrows(() => use(object), key)
    heap.destroy(object)
    t.true(key in root)
    t.is(root[key], object)
    for (const use of tries) t.throws(() => use(object), gone, `${key}: ${use}`)
    t.throws(() => heap.destroy(object), gone)
    t.throws(() => heap.ref(object), gone)
    t.throws(() => snapshot(object), gone)
    t.throws(() => snapshot(root), gone)
    t.is(inspect({ object }), '{ object: [destroyed] }')
    t.deepEqual(heap.verify(), [])
    root[key] = 'something else'
    t.is(root[key], 'something else')
    delete root[key]
  }
})

test.serial('what it holds by value is given back at once, what it refers to stays', (t) => {
  const text = 'x'.repeat(1000)
  root.kept = { text }
  const before = heap.stats().used
  root.many = { list: Array.from({ length: 1000 }, () => text), map: new Map([[text, text]]), kept: root.kept }
  root.many.big = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`key ${i}`, text]))
  const { list, map, big } = root.many
  for (const object of [list, map, big, root.many]) heap.destroy(object)
  delete root.many
  // identities stay till nothing can refer to them, and so do shapes and keys
  t.true(heap.stats().used - before < 40_000, String(heap.stats().used - before))
  t.is(root.kept.text, text)
  t.deepEqual(heap.verify(), [])
})

test.serial('the root, what is not shared and what is of another heap cannot be destroyed', (t) => {
  const invalid = { code: 'ERR_COHEAP_INVALID_ARGUMENT' }
  t.throws(() => heap.destroy(root), invalid)
  root.frozen = Object.freeze({ a: 1 })
  for (const value of [{}, [], root.frozen, new Date(), 5, null, undefined, 'x', new Uint8Array(1)]) {
    t.throws(() => heap.destroy(value), invalid)
    t.throws(() => heap.ref(value), invalid)
  }
  const other = Heap.create()
  t.throws(() => heap.destroy(other.share({})), { code: 'ERR_COHEAP_WRONG_HEAP' })
  t.throws(() => heap.ref(other.share({})), { code: 'ERR_COHEAP_WRONG_HEAP' })
  const late = other.share({})
  const ref = other.ref(late)
  t.throws(() => heap.deref(ref), { code: 'ERR_COHEAP_WRONG_HEAP' })
  other.close()
  t.throws(() => other.destroy(late), { code: 'ERR_COHEAP_CLOSED' })
  t.throws(() => other.ref(late), { code: 'ERR_COHEAP_CLOSED' })
  t.throws(() => other.deref(ref), { code: 'ERR_COHEAP_CLOSED' })
})

test.serial('an abort undoes it, a commit does it for all', (t) => {
  root.undone = { list: ['a text with a block of its own'], map: new Map([['k', 'v']]) }
  const { list, map } = root.undone
  t.throws(
    () =>
      heap.transaction(() => {
        for (const object of [list, map, root.undone]) {
          heap.destroy(object)
          t.throws(() => Object.keys(object).length + object.size, undefined)
          t.throws(() => heap.destroy(object), gone)
        }
        t.throws(() => list[0], gone)
        t.throws(() => map.get('k'), gone)
        throw new Error('undo')
      }),
    { message: 'undo' },
  )
  t.is(list[0], 'a text with a block of its own')
  t.is(map.get('k'), 'v')
  heap.transaction(() => {
    heap.destroy(list)
    root.undone.list = ['another']
  })
  t.throws(() => list[0], gone)
  t.deepEqual([...root.undone.list], ['another'])
  // made and destroyed by the same transaction
  heap.transaction(() => {
    root.both = { x: ['a text with a block of its own'] }
    heap.destroy(root.both.x)
    heap.destroy(root.both)
  })
  t.throws(() => root.both.x, gone)
  delete root.both
  t.deepEqual(heap.verify(), [])
})

test.serial('bytes stay with those who have them; reading the property throws', (t) => {
  root.t = Float64Array.of(1, 2, 3)
  const mine = root.t
  const part = mine.subarray(1)
  root.part = part
  heap.destroy(root.t.buffer)
  t.is(mine[0], 1)
  mine[1] = 9
  t.is(part[0], 9)
  t.throws(() => heap.share([part]), gone)
  t.throws(() => snapshot(root), gone)
  root.bytes = Buffer.from('abc')
  const { bytes } = root
  heap.destroy(bytes)
  t.is(bytes.toString(), 'abc')
  t.throws(() => root.bytes, gone)
  t.is(inspect(heap.share({ a: 1, of: [1] })), 'Shared { a: 1, of: Shared [ 1 ] }')
  root.holder = { list: [root.t.buffer === mine.buffer] }
  delete root.t
  delete root.part
  delete root.bytes
  t.deepEqual(heap.verify(), [])
})

test.serial('console.log of what holds destroyed bytes goes on', async (t) => {
  root.shown = { a: 1, bytes: new Uint8Array(2), buffer: new ArrayBuffer(1), list: [new Uint8Array(3)] }
  heap.destroy(root.shown.bytes)
  heap.destroy(root.shown.buffer)
  heap.destroy(root.shown.list[0])
  const b = await puppet(heap.name)
  const text = await b.run(async ({ root }) => (await import('node:util')).inspect(root.shown))
  t.is(text, 'Shared {\n  a: 1,\n  bytes: [destroyed],\n  buffer: [destroyed],\n  list: Shared [ [destroyed] ]\n}')
  await t.throwsAsync(
    b.run(({ root }) => root.shown.bytes),
    gone,
  )
  await t.throwsAsync(
    b.run(({ root }) => root.shown.list[0]),
    gone,
  )
  await b.end()
  delete root.shown
})

test.serial('another process sees it at its next use, in its loops and in its iterators', async (t) => {
  const b = await puppet(heap.name)
  root.seen = { n: 1, list: [1, 2, 3], map: new Map([[1, 1]]) }
  await b.run(({ root, keep }) => {
    const { seen } = root
    keep.seen = seen
    keep.list = seen.list
    keep.map = seen.map
    keep.step = seen.map.values()
    keep.walk = seen.list.values()
    // hot: these read without crossing
    for (let i = 0; i < 10_000; i++) if (seen.n + seen.list[i % 3] + seen.map.get(1) < 3) throw new Error('wrong')
  })
  const { list, map } = root.seen
  for (const object of [list, map, root.seen]) heap.destroy(object)
  const code = await b.run(({ keep }) => {
    const code = (f) => {
      try {
        return f()
      } catch (error) {
        return error.code
      }
    }
    const { seen, list, map, walk, step } = keep
    return [
      () => seen.n,
      () => list[0],
      () => map.get(1),
      () => walk.next(),
      () => step.next(),
      () => (seen.n = 1),
    ].map(code)
  })
  t.deepEqual(code, Array(6).fill('ERR_COHEAP_DESTROYED'))
  await b.end()
})

test.serial('a reader in a tight loop stops at the very next read', async (t) => {
  const worker = new Worker(
    `import { parentPort, workerData } from 'node:worker_threads'
     import { Heap } from ${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)}
     const heap = Heap.open(workerData)
     const { hot } = heap.root
     let reads = 0
     parentPort.postMessage('reading')
     try {
       for (;;) { if (hot.x !== 7 || hot.list[1] !== 'bc') throw new Error('a value that never was'); reads++ }
     } catch (error) { parentPort.postMessage({ code: error.code ?? error.message, reads }) }
     heap.close()`,
    { eval: true, workerData: ((root.hot = { x: 7, list: ['a', 'bc'] }), heap.name) },
  )
  const messages = []
  await new Promise((resolve, reject) => {
    worker.on('error', reject)
    worker.on('message', (message) => {
      messages.push(message)
      if (message === 'reading')
        setTimeout(() => heap.transaction(() => (heap.destroy(root.hot.list), heap.destroy(root.hot))), 20)
      else resolve()
    })
  })
  t.is(messages[1].code, 'ERR_COHEAP_DESTROYED')
  delete root.hot
  t.deepEqual(heap.verify(), [])
})

test.serial('a destroyed message is a destroyed object to its taker', async (t) => {
  const jobs = heap.channel('destroyed')
  const job = jobs.tryPut({ n: 1 })
  heap.destroy(job)
  const b = await puppet(heap.name)
  await t.throwsAsync(
    b.run(({ heap }) => heap.channel('destroyed').tryTake().n),
    gone,
  )
  await b.end()
})

test.serial('a destroyer that is killed leaves a sound heap', async (t) => {
  const b = await puppet(heap.name)
  root.pool = Array.from({ length: 2000 }, (_, i) => ({
    i,
    list: ['a text with a block of its own', {}],
    map: new Map([[i, 'x'.repeat(40)]]),
  }))
  b.run(({ heap, root }) => {
    for (const { list, map } of root.pool) {
      heap.destroy(list)
      heap.transaction(() => heap.destroy(map))
    }
    for (;;);
  }).catch(() => {})
  const destroyed = (object) => {
    try {
      return void Reflect.get(object, 'length')
    } catch (error) {
      return error.code === 'ERR_COHEAP_DESTROYED'
    }
  }
  while (destroyed(root.pool[300].list) !== true);
  await b.end('SIGKILL')
  t.deepEqual(heap.verify(), [])
  let alive = 0
  for (const { i, list, map } of root.pool) {
    if (destroyed(list) === true) continue
    t.is(list[0], 'a text with a block of its own')
    t.is(map.get(i), 'x'.repeat(40))
    alive++
  }
  t.true(alive < 2000)
})

test.serial('a ref goes by JSON, IPC and structuredClone to any process', async (t) => {
  const b = await puppet(heap.name)
  const values = [
    { n: 1 },
    [1, 2],
    new Map([['k', 1]]),
    new Set([1]),
    Uint8Array.of(1, 2),
    new ArrayBuffer(3),
    new Account(5),
  ]
  for (const value of values) {
    const live = heap.share(value)
    const ref = heap.ref(live)
    t.deepEqual(ref, heap.ref(live))
    t.is(Object.getPrototypeOf(ref), Object.prototype)
    t.is(heap.deref(JSON.parse(JSON.stringify(ref))), live)
    t.is(heap.deref(structuredClone(ref)), live)
  }
  root.list = [1]
  t.is(await b.run(({ heap }, ref) => heap.deref(ref).push(2), heap.ref(root.list)), 2)
  t.is(root.list[1], 2)
  const bytes = heap.alloc(Float64Array, 2)
  await b.run(({ heap }, ref) => (heap.deref(ref)[1] = 2.5), heap.ref(bytes))
  t.is(bytes[1], 2.5)
  // an unlinked object, kept by its maker's wrapper
  const unlinked = heap.share({ n: 1 })
  t.is(await b.run(({ heap }, ref) => ++heap.deref(ref).n, heap.ref(unlinked)), 2)
  t.is(unlinked.n, 2)
  const account = heap.share(new Account(5))
  await t.throwsAsync(
    b.run(({ heap }, ref) => heap.deref(ref).balance, heap.ref(account)),
    { code: 'ERR_COHEAP_UNREGISTERED_CLASS', message: /Account/ },
  )
  // in a transaction
  heap.transaction(() => (heap.deref(heap.ref(root.list))[0] = 'by ref'))
  t.is(root.list[0], 'by ref')
  await b.end()
})

test.serial('a ref to what is gone says so, also when something else stands there', (t) => {
  const live = heap.share({ n: 1 })
  const ref = heap.ref(live)
  heap.destroy(live)
  t.throws(() => heap.deref(ref), gone)
  let undone
  t.throws(() =>
    heap.transaction(() => {
      undone = heap.ref(heap.share({ n: 2 }))
      t.is(heap.deref(undone).n, 2)
      throw new Error('undo')
    }),
  )
  t.throws(() => heap.deref(undone), gone)
  for (let i = 0; i < 200; i++) heap.share({ n: i })
  t.throws(() => heap.deref(undone), gone)
})

test.serial('forged refs give errors, and nothing happens', (t) => {
  const { heap: identity, at, birth } = heap.ref(heap.share({ n: 1, text: 'a text with a block of its own' }))
  const invalid = { code: 'ERR_COHEAP_INVALID_ARGUMENT' }
  for (const bad of [
    undefined,
    null,
    5,
    {},
    { heap: identity },
    { heap: identity, at, birth: -1 },
    { heap: identity, at, birth: 0.5 },
    { heap: identity, at, birth: 70000 },
    { heap: identity, at: -1, birth },
    { heap: identity, at: NaN, birth },
    { heap: identity, at: 2 ** 60, birth },
    { heap: identity, at: '1', birth },
    { heap: 5, at, birth },
  ]) {
    t.throws(() => heap.deref(bad), invalid, inspect(bad))
  }
  t.throws(() => heap.deref({ heap: identity.replace(/./g, '0'), at, birth }), { code: 'ERR_COHEAP_WRONG_HEAP' })
  let found = 0
  const ends = [0, 8, 16, 64, 4096, 65536, 2 ** 20, 2 ** 30, 2 ** 36, 2 ** 46]
  const near = Array.from({ length: 4096 }, (_, i) => at - (at % 65536) + 16 * i)
  for (const place of [...ends, ...near, ...near.map((x) => x + 8)]) {
    for (const age of [0, 1, 2, birth, 65535]) {
      try {
        heap.deref({ heap: identity, at: place, birth: age })
        found++
      } catch (error) {
        t.is(error.code, 'ERR_COHEAP_DESTROYED')
      }
    }
  }
  t.true(found > 0)
  // what belongs to an array alone is no object that could be had
  const [empty, named] = [[], Object.assign([], { namedOnly: 1 })].map((list) => heap.ref(heap.share(list)).at)
  for (let place = Math.min(empty, named) - 4096; place < Math.max(empty, named) + 4096; place += 16) {
    for (let age = 0; age < 64; age++) {
      let live
      try {
        live = heap.deref({ heap: identity, at: place, birth: age })
      } catch {
        continue
      }
      t.true(Array.isArray(live) || !('namedOnly' in live))
    }
  }
  t.deepEqual(heap.verify(), [])
})

test.serial('two processes destroy the same object: one does, the other is told', async (t) => {
  const b = await puppet(heap.name)
  const objects = ((root.race = Array.from({ length: 500 }, (_, i) => ({ i }))), root.race)
  const all = [...objects]
  const theirs = b.run(({ heap, root }) => {
    let done = 0
    for (const object of [...root.race]) {
      try {
        heap.destroy(object)
        done++
      } catch (error) {
        if (error.code !== 'ERR_COHEAP_DESTROYED') throw error
      }
    }
    return done
  })
  let mine = 0
  for (const object of all.reverse()) {
    await new Promise(setImmediate)
    try {
      heap.destroy(object)
      mine++
    } catch (error) {
      t.is(error.code, 'ERR_COHEAP_DESTROYED')
    }
  }
  t.is(mine + (await theirs), 500)
  await b.end()
  t.deepEqual(heap.verify(), [])
})

test('a destroyed object goes through a promise: what was done stays done', async (t) => {
  const cases = [
    [{ then: 1 }, (o) => o.a],
    [[1], (o) => o[0]],
    [Object.assign([], { then: 1 }), (o) => o.length],
    [new Map(), (o) => o.get(1)],
  ]
  for (const [value, use] of cases) {
    const o = heap.share(value)
    heap.destroy(o)
    t.is(await o, o)
    t.throws(() => use(o), gone)
  }
})

test.serial('a message has been put, also if its taker destroys it before the put returns', async (t) => {
  const c = heap.channel('destroyed-at-once', { capacity: 4 })
  const b = await puppet(heap.name)
  const taking = b.run(async ({ heap }) => {
    let taken = 0
    for await (const message of heap.channel('destroyed-at-once')) {
      heap.destroy(message)
      taken++
    }
    return taken
  })
  for (let i = 0; i < 5000; i++) {
    const message = i % 2 === 0 ? { i } : new Float64Array(4)
    t.not(c.putSync(message), undefined)
  }
  c.close()
  t.is(await taking, 5000)
  await b.end()
})
