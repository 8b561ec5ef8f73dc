// 'participant-died' and participants(), with real processes and a worker.
import test from 'ava'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { threadId, Worker } from 'node:worker_threads'
import { Heap } from '../dist/index.js'
import { puppet } from './fixtures/puppet.js'

const index = new URL('../dist/index.js', import.meta.url).href

// listening does not: an event of a dead child may be all that a test waits for
const awake = setInterval(() => {}, 1000)
test.after.always(() => clearInterval(awake))

test('participants() tells who is there', async (t) => {
  const before = Date.now()
  const heap = Heap.create()
  const b = await puppet(heap.name)
  const [me, other, ...rest] = heap.participants().sort((p, q) => Number(q.self) - Number(p.self))
  t.deepEqual(rest, [])
  t.like(me, { pid: process.pid, threadId, alive: true, self: true })
  t.like(other, { pid: b.pid, threadId: 0, alive: true, self: false })
  for (const { since } of [me, other]) {
    t.true(since instanceof Date)
    t.true(Number(since) >= before - 1000 && Number(since) <= Date.now() + 1000)
  }
  await b.end()
  t.is(heap.participants().length, 1)
  heap.close()
})

test('a killed process is told of in every process and worker that listens, once, with who it was', async (t) => {
  const heap = Heap.create()
  const [victim, listener] = await Promise.all([puppet(heap.name), puppet(heap.name)])
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
    import(${JSON.stringify(index)}).then(({ Heap }) => {
      const heap = Heap.open(${JSON.stringify(heap.name)})
      heap.on('participant-died', (info) => parentPort.postMessage(info))
      parentPort.on('message', () => (heap.close(), parentPort.close()))
      parentPort.postMessage('ready')
    })`,
    { eval: true },
  )
  await once(worker, 'message')
  await listener.run(({ heap, keep }) => {
    keep.died = new Promise((resolve) => heap.once('participant-died', resolve))
  })
  const told = []
  heap.on('participant-died', (info) => told.push(info))
  const who = heap.participants().find((p) => p.pid === victim.pid)
  const here = once(heap, 'participant-died')
  const inWorker = once(worker, 'message')
  await victim.end('SIGKILL')
  const expected = { ...who, alive: false }
  t.deepEqual((await here)[0], expected)
  t.deepEqual((await inWorker)[0], expected)
  const elsewhere = await listener.run(({ keep }) => keep.died)
  t.deepEqual({ ...elsewhere, since: new Date(elsewhere.since) }, expected)
  t.false(heap.participants().some((p) => p.pid === victim.pid))

  // the next death is the next event: the first was told once; a leaver is not told of at all
  worker.postMessage('close')
  await once(worker, 'exit')
  const next = once(heap, 'participant-died')
  await listener.end('SIGKILL')
  t.is((await next)[0].pid, listener.pid)
  t.deepEqual(
    told.map((info) => info.pid),
    [victim.pid, listener.pid],
  )
  heap.close()
})

test('listening again after the last listener has gone works, removeAllListeners too', async (t) => {
  const heap = Heap.create()
  const no = () => t.fail('it was taken away')
  heap.on('participant-died', no)
  heap.off('participant-died', no)
  heap.prependListener('participant-died', no)
  heap.removeAllListeners()
  heap.addListener('participant-died', no)
  heap.removeAllListeners('participant-died')
  const b = await puppet(heap.name)
  const died = once(heap, 'participant-died')
  await b.end('SIGKILL')
  t.is((await died)[0].pid, b.pid)
  t.is(heap.listenerCount('participant-died'), 0)
  heap.close()
  heap.on('participant-died', no)
  t.pass()
})

test('what is no listener is refused, and nobody listens', async (t) => {
  const b = await puppet()
  const refused = await b.run(({ Heap }) => {
    const { readdirSync } = process.getBuiltinModule('node:fs')
    const threads = () => (process.platform === 'linux' ? readdirSync('/proc/self/task').length : 0)
    const heap = Heap.create()
    const before = threads()
    const errors = ['on', 'prependListener', 'once'].map((method) => {
      try {
        heap[method]('participant-died', 5)
      } catch ({ code }) {
        return code
      }
      return 'none'
    })
    const more = threads() - before
    heap.close()
    return { errors, more }
  })
  t.deepEqual(refused, { errors: Array(3).fill('ERR_INVALID_ARG_TYPE'), more: 0 })
  await b.end()
})

test('a listener may close the heap', async (t) => {
  const heap = Heap.create()
  const b = await puppet(heap.name)
  const closed = new Promise((resolve) => {
    heap.on('participant-died', () => {
      heap.close()
      resolve()
    })
  })
  await b.end('SIGKILL')
  await closed
  t.true(heap.closed)
})

test('a listener that throws is an uncaught exception, and the next death is told of', async (t) => {
  const heap = Heap.create()
  const listener = await puppet(heap.name)
  await listener.run(({ heap, keep }) => {
    keep.seen = new Promise((resolve) => {
      const errors = []
      process.on('uncaughtException', (error) => errors.push(error.message) === 2 && resolve(errors))
    })
    heap.on('participant-died', ({ pid }) => {
      throw new Error(`thrown for ${pid}`)
    })
  })
  const pids = []
  for (let i = 0; i < 2; i++) {
    const victim = await puppet(heap.name)
    pids.push(victim.pid)
    await victim.end('SIGKILL')
  }
  const seen = await listener.run(({ keep }) => keep.seen)
  t.deepEqual(seen.sort(), pids.map((pid) => `thrown for ${pid}`).sort())
  await listener.end()
  heap.close()
})

test('listening keeps no process alive', async (t) => {
  const source = `
    import { Heap } from ${JSON.stringify(index)}
    Heap.create().on('participant-died', () => {})
    console.log('done')`
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', source])
  t.is(stdout, 'done\n')
})
