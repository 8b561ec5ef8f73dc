// Several real processes and worker threads on one heap.
import test from 'ava'
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { Heap, retry, snapshot } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

const index = new URL('../dist/index.js', import.meta.url).href

test('a change in one process is read in the other in the same tick', async (t) => {
  const heap = Heap.create()
  heap.root.list = []
  const b = await puppet(heap.name)
  await b.run(({ root }) => root.list.push('stringy'))
  t.deepEqual([...heap.root.list], ['stringy'])
  heap.root.o = { n: 1 }
  t.is(await b.run(({ root, keep }) => (keep.o = root.o).n), 1)
  heap.root.o.n = 2
  t.is(await b.run(({ keep }) => keep.o.n), 2)
  heap.root.o.name = 'added'
  delete heap.root.o.n
  t.deepEqual(await b.run(({ keep }) => [Object.keys(keep.o), keep.o.name, keep.o.n ?? null]), [
    ['name'],
    'added',
    null,
  ])
  await b.end()
  heap.close()
})

test('two terminals: what one begins the other does not see, the older wins', async (t) => {
  const heap = Heap.create()
  heap.root.list = ['x']
  const b = await puppet(heap.name)
  const length = () => b.run(({ root }) => root.list.length)
  const tx = heap.begin()
  tx.run(() => heap.root.list.push('y'))
  t.is(await length(), 1)
  tx.commit()
  t.is(await length(), 2)
  await b.run(({ heap, root, keep }) => {
    keep.tx = heap.begin()
    keep.tx.run(() => root.list.push('z'))
  })
  const younger = heap.begin()
  t.throws(() => younger.run(() => heap.root.list.push('w')), { code: 'ERR_COHEAP_ABORTED' })
  await b.run(({ keep }) => keep.tx.commit())
  t.deepEqual([...heap.root.list], ['x', 'y', 'z'])
  await b.end()
  heap.close()
})

test('two processes count exactly in transactions, and lose counts without', async (t) => {
  const heap = Heap.create()
  Object.assign(heap.root, { counter: 0, sum: 0, count: 0, plain: 0 })
  const work = ({ heap, root }, n) => {
    for (let i = 0; i < n; i++) {
      heap.transaction(() => {
        root.counter += 1
        root.sum += root.counter
        root.count = root.counter
      })
    }
    for (let i = 0; i < 20 * n; i++) root.plain++
  }
  const both = await Promise.all([puppet(heap.name), puppet(heap.name)])
  const n = 5000
  await Promise.all(both.map((p) => p.run(work, n)))
  t.is(heap.root.counter, 2 * n)
  t.is(heap.root.count, 2 * n)
  t.is(heap.root.sum, (2 * n * (2 * n + 1)) / 2)
  t.true(heap.root.plain <= 40 * n)
  await Promise.all(both.map((p) => p.end()))
  heap.close()
})

test('transfers between accounts keep the sum at every moment that a third process looks', async (t) => {
  const heap = Heap.create()
  heap.root.accounts = Array.from({ length: 20 }, () => ({ balance: 100 }))
  heap.root.done = 0
  const work = ({ heap, root }, seed) => {
    for (let i = 0; i < 4000; i++) {
      seed = (seed * 1103515245 + 12345) % 2 ** 31
      const from = root.accounts[seed % 20]
      const to = root.accounts[(seed >> 8) % 20]
      const amount = (seed >> 16) % 50
      heap.transaction(() => {
        if (from.balance < amount) return
        from.balance -= amount
        to.balance += amount
      })
    }
    heap.transaction(() => root.done++)
  }
  const both = await Promise.all([puppet(heap.name), puppet(heap.name)])
  const working = Promise.all(both.map((p, i) => p.run(work, i + 1)))
  let looks = 0
  while (heap.root.done < 2) {
    const balances = heap.transaction(() => heap.root.accounts.map((a) => a.balance))
    t.true(balances.every((x) => x >= 0))
    t.is(
      balances.reduce((a, b) => a + b),
      2000,
    )
    if (looks++ % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
  }
  await working
  t.true(looks > 0)
  await Promise.all(both.map((p) => p.end()))
  heap.close()
})

test('a beaten callback runs again; maxRetries bounds how often', async (t) => {
  const heap = Heap.create()
  heap.root.n = 0
  const b = await puppet(heap.name)
  await b.run(({ heap, root, keep }) => {
    keep.tx = heap.begin({ maxHold: 60_000 })
    keep.tx.run(() => (root.n = 1))
  })
  // the elder's owner does nothing for longer than the patience, so it is aborted and this one goes on
  let runs = 0
  heap.transaction(() => {
    runs++
    heap.root.n += 10
  })
  t.true(runs >= 1)
  t.is(heap.root.n, 10)
  await t.throwsAsync(
    b.run(({ keep }) => keep.tx.commit()),
    { code: 'ERR_COHEAP_ABORTED' },
  )
  await b.end()
  heap.close()
})

test('retry in one process is woken by a change in another', async (t) => {
  const heap = Heap.create()
  heap.root.go = false
  const b = await puppet(heap.name)
  const waiting = heap.transactionAsync(() => {
    if (!heap.root.go) retry()
    return 'gone'
  })
  await b.run(({ root }) => (root.go = true))
  t.is(await waiting, 'gone')
  heap.root.go = false
  const blocked = b.run(({ heap, root, retry }) =>
    heap.transaction(() => {
      if (!root.go) retry()
      return 'gone'
    }),
  )
  setTimeout(() => (heap.root.go = true), 20)
  t.is(await blocked, 'gone')
  await b.end()
  heap.close()
})

test('worker threads are participants of their own', async (t) => {
  const heap = Heap.create()
  Object.assign(heap.root, { n: 0, started: 0 })
  const code = `
    import { workerData, parentPort } from 'node:worker_threads'
    const { Heap, retry } = await import(workerData.index)
    const heap = Heap.open(workerData.name)
    heap.transaction(() => heap.root.started++)
    heap.transaction(() => { if (heap.root.started < 2) retry() })
    for (let i = 0; i < 2000; i++) heap.transaction(() => heap.root.n++)
    parentPort.postMessage(heap.participants().find((p) => p.self))
    heap.close()`
  const url = new URL('data:text/javascript,' + encodeURIComponent(code))
  const workers = [1, 2].map(() => new Worker(url, { workerData: { index, name: heap.name } }))
  const ended = Promise.all(workers.map((w) => once(w, 'exit')))
  const selves = await Promise.all(workers.map(async (w) => (await once(w, 'message'))[0]))
  await ended
  t.is(heap.root.n, 4000)
  t.is(new Set(selves.map((s) => s.id)).size, 2)
  t.true(selves.every((s) => s.pid === process.pid && s.threadId > 0))
  t.is(heap.participants().filter((p) => p.alive).length, 1)
  heap.close()
})

const abrupt = {
  'process.exit()': 'process.exit(3)',
  'an uncaught exception': "throw new Error('deliberate')",
  SIGTERM: "process.kill(process.pid, 'SIGTERM'); while (true) heap.root.spins++",
  SIGKILL: "process.kill(process.pid, 'SIGKILL'); while (true) heap.root.spins++",
}
for (const [what, end] of Object.entries(abrupt)) {
  test(`${what} in the middle of a transaction leaves the heap usable`, (t) => {
    const heap = Heap.create()
    heap.root.o = { n: 1, list: [1] }
    heap.root.spins = 0
    const code = `
      import { Heap } from '${index}'
      const heap = Heap.open('${heap.name}')
      heap.root.o.seen = true
      const held = heap.begin()
      held.run(() => { heap.root.o.n = 5 })
      heap.transaction(() => {
        heap.root.o.list.push('half done')
        heap.root.half = {}
        ${end}
      })`
    const { status, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { timeout: 60_000 })
    t.true(status !== 0 || signal !== null)
    t.true(heap.root.o.seen)
    heap.root.o.n++
    t.is(heap.root.o.n, 2)
    t.is(heap.root.o.list.push(2), 2)
    t.deepEqual(snapshot(heap.root.o), { n: 2, list: [1, 2], seen: true })
    t.false('half' in heap.root)
    heap.transaction(() => (heap.root.after = 1))
    t.deepEqual(heap.verify(), [])
    heap.close()
  })
}

test('worker.terminate() in the middle of work leaves the heap usable', async (t) => {
  const heap = Heap.create()
  Object.assign(heap.root, { a: 0, b: 0 })
  const code = `
    import { workerData, parentPort } from 'node:worker_threads'
    const { Heap } = await import(workerData.index)
    const heap = Heap.open(workerData.name)
    parentPort.postMessage('ready')
    for (;;) heap.transaction(() => { heap.root.a++; heap.root.b++ })`
  const url = new URL('data:text/javascript,' + encodeURIComponent(code))
  for (let i = 0; i < 5; i++) {
    const worker = new Worker(url, { workerData: { index, name: heap.name } })
    await once(worker, 'message')
    await new Promise((resolve) => setTimeout(resolve, 5 * i))
    await worker.terminate()
    heap.transaction(() => {
      t.is(heap.root.a, heap.root.b)
      heap.root.a = heap.root.b = 0
    })
  }
  t.is(heap.participants().filter((p) => p.alive).length, 1)
  t.deepEqual(heap.verify(), [])
  heap.close()
})

test('the last to leave removes the heap; the creator may leave before', async (t) => {
  const heap = Heap.create()
  const { name } = heap
  heap.root.x = 1
  const b = await puppet(name)
  heap.close()
  t.is(await b.run(({ root }) => root.x), 1)
  const again = Heap.open(name)
  t.is(again.root.x, 1)
  again.close()
  await b.end()
  t.throws(() => Heap.open(name), { code: 'ERR_COHEAP_NOT_FOUND' })
  t.false(Heap.list().some((h) => h.name === name && !h.stale))
})

test('a heap whose users were all killed is gone, and its name is free', async (t) => {
  const name = `killed-${process.pid}`
  const b = await puppet()
  await b.run(({ Heap, keep }, name) => {
    keep.heap = Heap.create(name)
    keep.heap.root.x = 1
  }, name)
  t.true(Heap.list().some((h) => h.name === name && !h.stale && h.pids.includes(b.pid)))
  await b.end('SIGKILL')
  t.throws(() => Heap.open(name), { code: 'ERR_COHEAP_NOT_FOUND' })
  const heap = Heap.create(name)
  t.deepEqual(Object.keys(heap.root), [])
  heap.close()
})

test('a persistent heap waits for unlink', async (t) => {
  const name = `persistent-${process.pid}`
  const heap = Heap.create(name, { persist: true, maxSize: '8MiB' })
  heap.root.x = { y: 1 }
  heap.close()
  t.throws(() => Heap.create(name), { code: 'ERR_COHEAP_EXISTS' })
  const b = await puppet(name)
  t.is(await b.run(({ root }) => root.x.y), 1)
  await b.end('SIGKILL')
  const again = Heap.open(name)
  t.is(again.root.x.y, 1)
  t.true(Heap.unlink(name))
  t.is(again.root.x.y, 1)
  const other = Heap.create(name)
  t.deepEqual(Object.keys(other.root), [])
  other.close()
  again.close()
  t.false(Heap.unlink(name))
})

test('connect waits until the heap exists', async (t) => {
  const name = `connect-${process.pid}`
  const waiting = Heap.connect(name)
  const b = await puppet()
  await b.run(({ Heap, keep }, name) => void (keep.heap = Heap.create(name)), name)
  const heap = await waiting
  t.is(heap.name, name)
  await t.throwsAsync(Heap.connect('nobody-makes-this', { timeout: 20 }), { code: 'ERR_COHEAP_TIMEOUT' })
  await t.throwsAsync(Heap.connect('nobody-makes-this', { timeout: 0 }), { code: 'ERR_COHEAP_TIMEOUT' })
  const reason = new Error('stop')
  t.is(await t.throwsAsync(Heap.connect('nobody-makes-this', { signal: AbortSignal.abort(reason) })), reason)
  heap.close()
  await b.end()
})
