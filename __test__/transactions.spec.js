// Transactions in one thread: all or nothing, on every path.
import test from 'ava'
import { Heap, retry, snapshot } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

const heap = Heap.create()
test.after.always(() => heap.close())
const root = heap.root

test('what a transaction changes is there after it, and its result is given', (t) => {
  root.a = { n: 1 }
  const result = heap.transaction(() => {
    root.a.n++
    root.a.list = [1]
    root.a.list.push(root.a.n)
    return root.a.list.length
  })
  t.is(result, 2)
  t.deepEqual(snapshot(root.a), { n: 2, list: [1, 2] })
})

test('an exception undoes everything, of every kind', (t) => {
  root.u = { n: 1, s: 'text', list: [1, { x: 1 }], map: new Map([['k', 1]]), set: new Set([1]), when: new Date(1) }
  const before = snapshot(root.u)
  const boom = new Error('boom')
  const thrown = t.throws(() =>
    heap.transaction(() => {
      const u = root.u
      u.n = 'a text longer than five'
      u.added = { y: 1 }
      delete u.s
      u.list.push(1, 2, 3)
      u.list[1].x = 5
      u.list.shift()
      u.list.reverse()
      for (let i = 0; i < 200; i++) u.map.set(i, { i })
      u.map.delete('k')
      u.set.clear()
      u.when = new Date(2)
      t.is(u.list.length, 4)
      t.is(u.map.size, 200)
      throw boom
    }),
  )
  t.is(thrown, boom)
  t.deepEqual(snapshot(root.u), before)
  t.is(root.u.s, 'text')
  t.deepEqual(Object.keys(root.u), Object.keys(before))
})

test('inside, its own changes are seen by every way of reading', (t) => {
  root.v = { n: 1, list: [3, 1, 2], map: new Map() }
  heap.transaction(() => {
    const v = root.v
    v.k = 'new'
    t.true('k' in v)
    t.deepEqual(Object.keys(v), ['n', 'list', 'map', 'k'])
    t.is(JSON.stringify(v), '{"n":1,"list":[3,1,2],"map":{},"k":"new"}')
    v.list.sort()
    t.deepEqual([...v.list], [1, 2, 3])
    t.is(v.list.at(-1), 3)
    v.map.set(1, { a: 1 })
    v.map.get(1).a++
    t.deepEqual(snapshot(v.map), new Map([[1, { a: 2 }]]))
    t.is([...v.map.values()][0], v.map.get(1))
  })
  t.is(root.v.map.get(1).a, 2)
})

test('objects made in a transaction that was undone are gone', (t) => {
  root.w = {}
  let made
  let list
  let map
  t.throws(() =>
    heap.transaction(() => {
      made = heap.share({ n: 1 })
      root.w.list = [1, 2]
      list = root.w.list
      root.w.map = new Map([[1, 2]])
      map = root.w.map
      t.is(made.n, 1)
      t.is(list[0], 1)
      throw new Error('undo')
    }),
  )
  for (let i = 0; i < 50; i++) root['filler' + i] = { n: i, list: [i], map: new Map([[i, i]]) }
  t.throws(() => made.n, { code: 'ERR_COHEAP_DESTROYED' })
  t.throws(() => (made.n = 1), { code: 'ERR_COHEAP_DESTROYED' })
  t.throws(() => list[0], { code: 'ERR_COHEAP_DESTROYED' })
  t.throws(() => list.length, { code: 'ERR_COHEAP_DESTROYED' })
  t.throws(() => map.get(1), { code: 'ERR_COHEAP_DESTROYED' })
  t.throws(() => map.size, { code: 'ERR_COHEAP_DESTROYED' })
  t.throws(() => (root.w.again = made), { code: 'ERR_COHEAP_DESTROYED' })
  t.deepEqual(Object.keys(root.w), [])
})

test('objects made in a transaction that was committed live on, with the same wrapper', (t) => {
  const made = heap.transaction(() => {
    root.x = { n: 1 }
    return root.x
  })
  t.is(made, root.x)
  t.is(made.n, 1)
})

test('a body that does nothing with the heap ends in every way, and the next one is a transaction of its own', (t) => {
  root.idle = 1
  t.is(
    heap.transaction(() => 7),
    7,
  )
  const boom = new Error('boom')
  t.is(
    t.throws(() =>
      heap.transaction(() => {
        throw boom
      }),
    ),
    boom,
  )
  t.throws(() => heap.transaction(() => retry(), { timeout: 20 }), { code: 'ERR_COHEAP_TIMEOUT' })
  t.throws(() => heap.transaction(() => Promise.resolve()), { code: 'ERR_COHEAP_ASYNC_TRANSACTION' })
  // had one of them been left running, this would be undone with it, or refused
  root.idle = 2
  t.throws(() =>
    heap.transaction(() => {
      root.idle = 3
      throw boom
    }),
  )
  t.is(root.idle, 2)
})

test('an object that only transactions have read has its shape followed, also when it changes', (t) => {
  root.followed = { n: 1 }
  heap.transaction(() => (root.followed.n += 1))
  t.throws(() =>
    heap.transaction(() => {
      root.followed.more = 1
      root.followed.n += root.followed.more
      throw new Error('undone')
    }),
  )
  t.deepEqual(Object.keys(root.followed), ['n'])
  heap.transaction(() => {
    root.followed.more = 'text'
    root.followed.n = NaN
  })
  t.deepEqual(snapshot(root.followed), { n: NaN, more: 'text' })
})

test('nested transactions join: the outer one decides', (t) => {
  root.n = { a: 0, b: 0 }
  heap.transaction(() => {
    root.n.a = 1
    heap.transaction(() => (root.n.b = 1))
  })
  t.deepEqual(snapshot(root.n), { a: 1, b: 1 })
  t.throws(() =>
    heap.transaction(() => {
      heap.transaction(() => (root.n.b = 2))
      throw new Error('outer')
    }),
  )
  t.is(root.n.b, 1)
})

test('a result whose `then` throws ends the transaction as any exception does', (t) => {
  root.thenable = 0
  const thenable = {
    get then() {
      throw new Error('no then')
    },
  }
  const body = () => {
    root.thenable = 1
    return thenable
  }
  t.throws(() => heap.transaction(body), { message: 'no then' })
  const tx = heap.begin()
  t.throws(() => tx.run(body), { message: 'no then' })
  t.is(root.thenable, 0)
  // what comes next is in no transaction
  root.thenable = 2
  heap.transaction(() => t.is(root.thenable++, 2))
  t.is(root.thenable, 3)
})

test('where the stack overflows, the transactions that were under way are undone and nothing stays open', (t) => {
  root.depth = { n: 0, list: [1, 2, 3] }
  const bodies = [
    () => heap.transaction(() => root.depth.n++),
    () => root.depth.list.fill(root.depth.n),
    () => {
      const tx = heap.begin()
      try {
        tx.run(() => root.depth.n++)
        tx.commit()
      } finally {
        tx.abort()
      }
    },
  ]
  for (const body of bodies) {
    // the overflow comes at another place of the call with each depth that it starts from
    for (let start = 0; start < 6; start++) {
      const deeper = (n, pad) => {
        body()
        return deeper(n + 1, pad) + pad.length
      }
      const from = (n) => (n === 0 ? deeper(0, []) : from(n - 1))
      t.throws(() => from(start), { instanceOf: RangeError, message: /call stack/ })
      // each of these would fail, or be lost, inside of a transaction that is still open
      root.depth.n = 'outside'
      heap.transaction(() => t.is(root.depth.n, 'outside'))
      root.depth.n = 0
    }
  }
  t.deepEqual(heap.verify(), [])
})

test('a promise from a body is refused and its synchronous part undone', async (t) => {
  root.p = 1
  let ran
  const after = new Promise((resolve) => (ran = resolve))
  t.throws(
    () =>
      heap.transaction(async () => {
        root.p = 2
        await null
        root.late = 1
        ran()
      }),
    { code: 'ERR_COHEAP_ASYNC_TRANSACTION', instanceOf: TypeError },
  )
  t.is(root.p, 1)
  await after
  t.is(root.late, 1)
  await t.throwsAsync(
    heap.transactionAsync(async () => (root.p = 3)),
    { code: 'ERR_COHEAP_ASYNC_TRANSACTION' },
  )
  const tx = heap.begin()
  t.throws(() => tx.run(async () => (root.p = 4)), { code: 'ERR_COHEAP_ASYNC_TRANSACTION' })
  t.throws(() => heap.transaction(() => void heap.transaction(async () => (root.p = 5))), {
    code: 'ERR_COHEAP_ASYNC_TRANSACTION',
  })
  t.is(root.p, 1)
})

test('an explicit transaction is invisible until its commit', (t) => {
  root.e = { n: 1, list: [] }
  const tx = heap.begin()
  tx.run(() => {
    root.e.n = 2
    root.e.list.push('x')
  })
  t.is(root.e.n, 1)
  t.is(root.e.list.length, 0)
  t.is(
    tx.run(() => root.e.n),
    2,
  )
  tx.commit()
  t.is(root.e.n, 2)
  t.deepEqual([...root.e.list], ['x'])
  t.throws(() => tx.commit(), { code: 'ERR_COHEAP_ABORTED' })
  t.throws(() => tx.run(() => 1), { code: 'ERR_COHEAP_ABORTED' })
  tx.abort()
})

test('abort, an exception in run and leaving the scope undo an explicit transaction', (t) => {
  root.f = 1
  const tx = heap.begin()
  tx.run(() => (root.f = 2))
  tx.abort()
  t.is(root.f, 1)
  const ty = heap.begin()
  t.throws(
    () =>
      ty.run(() => {
        root.f = 3
        throw new Error('no')
      }),
    { message: 'no' },
  )
  t.is(root.f, 1)
  t.throws(() => ty.commit(), { code: 'ERR_COHEAP_ABORTED' })
  ty.restart()
  ty.run(() => (root.f = 4))
  ty.commit()
  t.is(root.f, 4)
  const tz = heap.begin()
  tz.run(() => (root.f = 5))
  tz[Symbol.dispose]()
  t.is(root.f, 4)
})

test("this thread's plain code wins over its own explicit transaction at once", (t) => {
  root.g = 1
  const tx = heap.begin()
  tx.run(() => (root.g = 2))
  root.g = 3
  t.is(root.g, 3)
  t.throws(() => tx.commit(), { code: 'ERR_COHEAP_ABORTED' })
  tx.restart()
  tx.run(() => root.g++)
  tx.commit()
  t.is(root.g, 4)
})

test('of two explicit transactions the older wins, the younger is told', (t) => {
  root.h = { list: [] }
  const older = heap.begin()
  const younger = heap.begin()
  older.run(() => root.h.list.push('older'))
  t.throws(() => younger.run(() => root.h.list.push('younger')), { code: 'ERR_COHEAP_ABORTED' })
  t.throws(() => younger.run(() => 1), { code: 'ERR_COHEAP_ABORTED' })
  older.commit()
  younger.restart()
  younger.run(() => root.h.list.push('younger'))
  younger.commit()
  t.deepEqual([...root.h.list], ['older', 'younger'])
})

test('reserved reads are protected from younger writers', (t) => {
  root.r = { list: [] }
  const reader = heap.begin({ reserveReads: true })
  t.is(
    reader.run(() => root.r.list.length),
    0,
  )
  const writer = heap.begin()
  t.throws(() => writer.run(() => root.r.list.push(1)), { code: 'ERR_COHEAP_ABORTED' })
  reader.run(() => root.r.list.push(2))
  reader.commit()
  t.deepEqual([...root.r.list], [2])
  const a = heap.begin()
  a.run(() => root.r.list.length)
  const b = heap.begin()
  b.run(() => root.r.list.push(3))
  b.commit()
  a.commit()
  t.is(root.r.list.length, 2)
})

test('options are checked', (t) => {
  const bad = [
    { maxRetries: -1 },
    { maxRetries: 'x' },
    { timeout: -1 },
    { timeout: 'x' },
    { signal: {} },
    { reserveReads: 1 },
    { maxHold: NaN },
  ]
  for (const o of bad) t.throws(() => heap.transaction(() => 1, o), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => heap.transaction(5), { code: 'ERR_COHEAP_INVALID_ARGUMENT', instanceOf: TypeError })
  t.throws(() => heap.transaction(() => 1, 5), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => heap.begin({ timeout: -1 }), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  const reason = new Error('stop')
  t.throws(() => heap.transaction(() => t.fail(), { signal: AbortSignal.abort(reason) }), { is: reason })
})

test('misuse inside is refused', async (t) => {
  const tx = heap.begin()
  t.throws(() => tx.run(() => tx.commit()), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => retry(), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  t.throws(() => heap.transaction(() => heap.close()), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  const other = heap.begin()
  t.throws(() => heap.transaction(() => other.run(() => 1)), { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
  other.abort()
  let inner
  heap.transaction(() => (inner = heap.transactionAsync(() => 1)) && undefined)
  await t.throwsAsync(inner, { code: 'ERR_COHEAP_INVALID_ARGUMENT' })
})

test("another heap's objects inside a transaction are refused", (t) => {
  const second = Heap.create()
  second.root.o = { a: 1 }
  const o = second.root.o
  t.throws(() => heap.transaction(() => o.a), { code: 'ERR_COHEAP_WRONG_HEAP', instanceOf: TypeError })
  t.throws(() => heap.transaction(() => (o.a = 2)), { code: 'ERR_COHEAP_WRONG_HEAP' })
  t.throws(() => heap.transaction(() => second.transaction(() => 1)), { code: 'ERR_COHEAP_WRONG_HEAP' })
  t.throws(() => (root.o = { deep: [o] }), { code: 'ERR_COHEAP_WRONG_HEAP', message: /\$\.deep\[0\]/ })
  t.is(o.a, 1)
  second.close()
})

test('transactionAsync commits, undoes and gives results', async (t) => {
  root.y = 1
  t.is(await heap.transactionAsync(() => ++root.y), 2)
  await t.throwsAsync(
    heap.transactionAsync(() => {
      root.y = 9
      throw new Error('no')
    }),
    { message: 'no' },
  )
  t.is(root.y, 2)
  const holder = heap.begin()
  holder.run(() => (root.y = 5))
  t.is(await heap.transactionAsync(() => ++root.y), 3)
  t.throws(() => holder.commit(), { code: 'ERR_COHEAP_ABORTED' })
  t.is(root.y, 3)
})

test('transactionAsync waits no longer than its patience for an idle transaction of another process', async (t) => {
  root.idle = 1
  const other = await puppet(heap.name)
  t.teardown(() => other.child.kill('SIGKILL'))
  const hold = ({ heap, root, keep }) => {
    // longer than this test may take
    keep.tx = heap.begin({ maxHold: 1_000_000 })
    keep.tx.run(() => (root.idle = 5))
  }
  await other.run(hold)
  // the event loop goes on
  let turns = 0
  const ticking = setInterval(() => turns++, 1)
  t.is(await heap.transactionAsync(() => ++root.idle), 2)
  clearInterval(ticking)
  t.true(turns > 0)
  const code = await other.run(({ keep }) => {
    try {
      keep.tx.commit()
    } catch (error) {
      return error.code
    }
  })
  t.is(code, 'ERR_COHEAP_ABORTED')
  t.is(root.idle, 2)
  await other.end()
})

test('retry waits until something that was read has changed', async (t) => {
  root.z = 0
  const waiting = heap.transactionAsync(() => {
    if (root.z === 0) retry()
    return root.z
  })
  await new Promise((resolve) => setTimeout(resolve, 20))
  root.z = 7
  t.is(await waiting, 7)
  root.z = 0
  t.throws(
    () =>
      heap.transaction(
        () => {
          if (root.z === 0) retry()
        },
        { timeout: 30 },
      ),
    { code: 'ERR_COHEAP_TIMEOUT' },
  )
  await t.throwsAsync(
    heap.transactionAsync(
      () => {
        if (root.z === 0) retry()
      },
      { timeout: 30 },
    ),
    { code: 'ERR_COHEAP_TIMEOUT' },
  )
  const reason = new Error('stop')
  const controller = new AbortController()
  const stopped = heap.transactionAsync(
    () => {
      if (root.z === 0) retry()
    },
    { signal: controller.signal },
  )
  setTimeout(() => controller.abort(reason), 10)
  t.is(await t.throwsAsync(stopped), reason)
})

test('a transaction of ten thousand writes', (t) => {
  root.many = Object.fromEntries(Array.from({ length: 50 }, (_, i) => ['k' + i, { n: 0 }]))
  heap.transaction(() => {
    for (let i = 0; i < 10_000; i++) root.many['k' + (i % 50)].n++
  })
  t.is(root.many.k7.n, 200)
})
