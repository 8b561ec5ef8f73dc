// Who is stopped is not dead; a worker thread that ends is gone at once, whatever it held.
import test from 'ava'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { Heap } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

const index = new URL('../dist/index.js', import.meta.url).href
// /proc tells when a process has really stopped
const onLinux = process.platform === 'linux' ? test : test.skip

// listening does not: an event of a dead child may be all that a test waits for
const awake = setInterval(() => {}, 1000)
test.after.always(() => clearInterval(awake))

/** Stops a process, and comes back when all its threads stand still. */
async function stop(pid) {
  process.kill(pid, 'SIGSTOP')
  while (!/\) T /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))) await turn()
}

onLinux('a stopped process lives: nobody is told of a death, and what it held can be had', async (t) => {
  const heap = Heap.create()
  Object.assign(heap.root, { n: 1, list: [] })
  heap.channel('jobs').tryPut('job')
  heap.on('participant-died', () => t.fail('nobody has died'))
  const b = await puppet(heap.name)
  await b.run(({ heap, root, keep }) => {
    keep.tx = heap.begin({ maxHold: 600_000 })
    keep.tx.run(() => {
      root.n = 5
      root.list.push('never')
      keep.job = heap.channel('jobs').tryTake()
    })
  })
  await stop(b.pid)
  heap.root.n = 7
  heap.transaction(() => heap.root.list.push('here'))
  t.is(heap.channel('jobs').tryTake(), 'job')
  t.true(heap.participants().find((who) => who.pid === b.pid).alive)
  t.deepEqual(heap.verify(), [])

  process.kill(b.pid, 'SIGCONT')
  await t.throwsAsync(
    b.run(({ keep }) => keep.tx.commit()),
    { code: 'ERR_COHEAP_ABORTED' },
  )
  t.deepEqual([heap.root.n, ...heap.root.list], [7, 'here'])
  // it goes on as if nothing had been, with its old age
  await b.run(({ root, keep }) => {
    keep.tx.restart()
    keep.tx.run(() => (root.n += 1))
    keep.tx.commit()
  })
  t.is(heap.root.n, 8)
  t.is(heap.participants().length, 2)
  await b.end()
  heap.close()
})

onLinux(
  'a callback that was stopped in its middle, and beaten, runs again and has changed nothing before',
  async (t) => {
    const heap = Heap.create()
    Object.assign(heap.root, { n: 1, m: 1, flags: new Int32Array(2) })
    const { flags } = heap.root
    const b = await puppet(heap.name)
    const done = b.run(({ heap, root }) => {
      const { flags } = root
      let runs = 0
      heap.transaction(() => {
        runs++
        root.n += 10
        root.m = root.n
        flags[0] = 1
        while (flags[1] === 0);
      })
      return runs
    })
    while (flags[0] === 0) await turn()
    await stop(b.pid)
    t.is(heap.root.n, 1)
    heap.root.n = 100
    t.deepEqual([heap.root.n, heap.root.m], [100, 1])
    flags[1] = 1
    process.kill(b.pid, 'SIGCONT')
    t.is(await done, 2)
    t.deepEqual([heap.root.n, heap.root.m], [110, 110])
    await b.end()
    heap.close()
  },
)

onLinux('one that is killed while it is stopped is dead', async (t) => {
  const heap = Heap.create()
  heap.root.n = 1
  const b = await puppet(heap.name)
  await b.run(({ heap, root, keep }) => {
    keep.tx = heap.begin({ maxHold: 600_000 })
    keep.tx.run(() => (root.n = 5))
  })
  await stop(b.pid)
  const died = once(heap, 'participant-died')
  await b.end('SIGKILL')
  t.is((await died)[0].pid, b.pid)
  t.is(heap.participants().length, 1)
  heap.root.n++
  t.is(heap.root.n, 2)
  heap.close()
})

const ends = {
  'by terminate()': ['', (worker) => worker.terminate()],
  'by process.exit()': ['process.exit()', (worker) => worker.postMessage('end')],
  'by an exception': ["throw new Error('deliberate')", (worker) => worker.postMessage('end')],
  'by running out of work': ['parentPort.close()', (worker) => worker.postMessage('end')],
}
for (const [how, [code, end]] of Object.entries(ends)) {
  test(`a worker that ends ${how} in a transaction holds nothing any more`, async (t) => {
    // who waited for a living one here would wait for ever
    const heap = Heap.create(undefined, { patience: 1e9 })
    Object.assign(heap.root, { n: 1, m: 1 })
    heap.channel('jobs').tryPut('job')
    const source = `
      import { workerData, parentPort } from 'node:worker_threads'
      const { Heap } = await import(workerData.index)
      const heap = Heap.open(workerData.name, { patience: 1e9 })
      const tx = heap.begin({ maxHold: 1e9, reserveReads: true })
      tx.run(() => {
        heap.root.n = 5
        heap.root.m
        heap.channel('jobs').tryTake()
      })
      parentPort.on('message', () => { ${code} })
      parentPort.postMessage(heap.participants().find((who) => who.self).id)`
    const worker = new Worker(new URL('data:text/javascript,' + encodeURIComponent(source)), {
      workerData: { index, name: heap.name },
    })
    worker.on('error', (error) => t.is(error.message, 'deliberate'))
    const [id] = await once(worker, 'message')
    t.true(heap.participants().some((who) => who.id === id && who.threadId === worker.threadId && who.alive))
    const ended = new Promise((resolve) => worker.on('exit', resolve))
    end(worker)
    await ended
    t.deepEqual(
      heap.participants().map((who) => who.self),
      [true],
    )
    heap.transaction(() => {
      heap.root.n++
      heap.root.m++
    })
    t.deepEqual([heap.root.n, heap.root.m], [2, 2])
    t.is(heap.channel('jobs').tryTake(), 'job')
    t.deepEqual(heap.verify(), [])
    heap.close()
  })
}
