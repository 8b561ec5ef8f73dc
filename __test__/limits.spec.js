// Limits of the machine and of other users: each has its code and leaves everything as it was.
import test from 'ava'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  mkdtempSync,
  openSync,
  readSync,
  readdirSync,
  rmSync,
  statSync,
  writeSync,
  closeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Heap } from '../dist/index.js'

const index = new URL('../dist/index.js', import.meta.url).href
const linuxRoot = process.platform === 'linux' && process.getuid() === 0
const folder = () => mkdtempSync(join(tmpdir(), 'coheap-'))

test('a full memory file system is an error that can be caught', (t) => {
  const dir = folder()
  const mounted = linuxRoot && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir]).status === 0
  if (!mounted) {
    rmSync(dir, { recursive: true })
    t.log('skipped: a tmpfs of 1 MiB cannot be mounted here')
    return t.pass()
  }
  try {
    const full = { code: 'ERR_COHEAP_OUT_OF_MEMORY', instanceOf: RangeError }
    t.throws(() => Heap.create('too-large', { dir, size: '4MiB' }), full)
    t.deepEqual(
      Heap.list({ dir }).filter((h) => !h.stale),
      [],
    )
    const heap = Heap.create('small', { dir, size: '64KiB', maxSize: '8MiB', maxParticipants: 4 })
    t.throws(() => {
      for (let i = 0; i < 1000; i++) heap.root['k' + i] = 'x'.repeat(20_000)
    }, full)
    // overwriting with scalars needs no memory, and gives back what the strings had
    const keys = Object.keys(heap.root)
    for (const key of keys) heap.root[key] = 0
    for (const key of keys.slice(1)) heap.root[key] = 'y'.repeat(20_000)
    t.is(heap.root[keys[1]].length, 20_000)
    heap.close()
  } finally {
    spawnSync('umount', ['--lazy', dir])
    rmSync(dir, { recursive: true })
  }
})

test('another process that fills the disk costs a commit nothing but its own failure', async (t) => {
  const { puppet } = await import('./fixtures/puppet.js')
  const dir = folder()
  const mounted = linuxRoot && spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=8m', 'tmpfs', dir]).status === 0
  if (!mounted) {
    rmSync(dir, { recursive: true })
    t.log('skipped: a tmpfs cannot be mounted here')
    return t.pass()
  }
  try {
    // grows in steps of 64 KiB, towards more than there is
    const heap = Heap.create('grows', { dir, size: '64KiB', maxSize: '15MiB', maxParticipants: 4 })
    heap.root.list = []
    heap.root.count = 0
    const committed = []
    let refused = 0
    /** One transaction that needs memory: whether it went through. */
    const step = () => {
      const text = String.fromCharCode(97 + (committed.length % 26)).repeat(40_000)
      try {
        heap.transaction(() => {
          heap.root.count++
          heap.root.list.push(text)
        })
      } catch (error) {
        t.is(error.code, 'ERR_COHEAP_OUT_OF_MEMORY')
        t.regex(error.message, /: No space left on device \(os error 28\)$/)
        refused++
        return false
      }
      committed.push(text)
      return true
    }
    const other = await puppet()
    t.teardown(() => other.child.kill('SIGKILL'))
    const hog = async (_, file) => {
      const { closeSync, openSync, writeSync } = await import('node:fs')
      const fd = openSync(file, 'w')
      try {
        for (const bytes of [65_536, 4096]) {
          try {
            for (;;) writeSync(fd, Buffer.alloc(bytes))
          } catch (error) {
            if (error.code !== 'ENOSPC') throw error
          }
        }
      } finally {
        closeSync(fd)
      }
    }
    const file = join(dir, 'hog')
    for (let round = 0; round < 10; round++) {
      // while it fills the disk
      let full = false
      const filling = other.run(hog, file).finally(() => (full = true))
      for (let i = 0; i < 3 && !full; i++) {
        step()
        await new Promise((resolve) => setImmediate(resolve))
      }
      await filling
      while (step()) {
        // what was allocated before is used up
      }
      t.is(heap.root.count, committed.length)
      rmSync(file)
      t.true(step())
    }
    t.true(refused >= 10)
    t.deepEqual(heap.verify(), [])
    const seen = await puppet('grows', { dir })
    t.deepEqual(await seen.run(({ root }) => [root.count, [...root.list]]), [committed.length, committed])
    await seen.end()
    await other.end()
    heap.close()
  } finally {
    spawnSync('umount', ['--lazy', dir])
    rmSync(dir, { recursive: true })
  }
})

test('all transaction slots: who begins one more is told, and everything else goes on', async (t) => {
  const { puppet } = await import('./fixtures/puppet.js')
  const heap = Heap.create()
  const full = { code: 'ERR_COHEAP_TOO_MANY_PARTICIPANTS', message: 'all transaction slots are in use (1022)' }
  const other = await puppet()
  t.teardown(() => other.child.kill('SIGKILL'))
  const join = ({ Heap }, name) => {
    try {
      Heap.open(name).close()
    } catch ({ code, message }) {
      return { code, message }
    }
  }
  const open = []
  t.throws(() => {
    for (;;) open.push(heap.begin())
  }, full)
  // one is this thread's own
  t.is(open.length, 1021)
  await t.throwsAsync(
    heap.transactionAsync(() => 1),
    full,
  )
  t.deepEqual(await other.run(join, heap.name), full)
  heap.root.list = [1, { a: 'a text' }]
  heap.transaction(() => (heap.root.list[1].a = heap.root.list.push(3)))
  t.true(heap.channel('c').tryPut(1) === 1 && heap.channel('c').tryTake() === 1)
  open[7].run(() => (heap.root.n = 5))
  open[7].commit()
  t.is(heap.root.n, 5)
  // one is free now
  t.is(await other.run(join, heap.name), undefined)
  t.is(await heap.transactionAsync(() => ++heap.root.n), 6)
  open[7].restart()
  t.throws(() => heap.begin(), full)
  for (const tx of open) tx.abort()
  heap.begin().abort()
  t.deepEqual(heap.verify(), [])
  await other.end()
  heap.close()
})

/** The segment's file in a folder of one's own. */
function segmentIn(dir) {
  const files = readdirSync(dir, { recursive: true })
    .map((f) => join(dir, f))
    .filter((f) => statSync(f).isFile())
  return files.sort((a, b) => statSync(b).size - statSync(a).size)[0]
}

function overwrite(file, at, bytes) {
  const fd = openSync(file, 'r+')
  writeSync(fd, Buffer.from(bytes), 0, bytes.length, at)
  closeSync(fd)
}

test('a heap of another version is refused', (t) => {
  const dir = folder()
  const heap = Heap.create('old', { dir, maxSize: '1MiB', persist: true })
  heap.root.x = 1
  heap.close()
  const file = segmentIn(dir)
  const word = Buffer.alloc(8)
  const fd = openSync(file, 'r')
  readSync(fd, word, 0, 8, 8)
  closeSync(fd)
  overwrite(
    file,
    8,
    word.map((b) => b ^ 0xff),
  )
  // another process: this one still has the segment mapped
  const open = `
    import { Heap } from '${index}'
    try { console.log(Heap.open('old', { dir: '${dir}' }).root.x) } catch (e) { console.log(e.code) }`
  const opened = () => spawnSync(process.execPath, ['--input-type=module', '-e', open], { encoding: 'utf8' }).stdout
  t.is(opened(), 'ERR_COHEAP_VERSION\n')
  overwrite(file, 8, word)
  t.is(opened(), '1\n')
  t.true(Heap.unlink('old', { dir }))
  rmSync(dir, { recursive: true })
})

test("another user's heap is refused", (t) => {
  if (!linuxRoot) {
    t.log('skipped: only root can act as another user')
    return t.pass()
  }
  const dir = folder()
  chmodSync(dir, 0o755)
  const heap = Heap.create('mine', { dir, maxSize: '1MiB' })
  heap.root.x = 1
  const code = `
    import { Heap } from '${index}'
    process.setgroups([]); process.setgid(65534); process.setuid(65534)
    try { Heap.open('mine', { dir: '${dir}' }); console.log('opened') } catch (e) { console.log(e.code) }`
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', code], { encoding: 'utf8' })
  t.is(stdout, 'ERR_COHEAP_PERMISSION\n', stderr)
  t.is(heap.root.x, 1)
  heap.close()
  rmSync(dir, { recursive: true })
})

test('a reader never sees what was never written, while another process writes', async (t) => {
  const { puppet } = await import('./fixtures/puppet.js')
  const heap = Heap.create()
  heap.root.o = { v: 0, s: 'a', child: { n: 0 }, list: [0, 'b'] }
  const b = await puppet(heap.name)
  heap.root.stop = false
  const writing = b.run(({ root }) => {
    const { o } = root
    const values = [
      1,
      2.5,
      'text',
      'a text longer than five',
      null,
      undefined,
      true,
      false,
      NaN,
      -0,
      7n,
      Symbol.for('s'),
    ]
    for (let i = 0; !root.stop; i++) {
      o.v = values[i % values.length]
      o.s = i % 2 === 0 ? 'a' : 'bcdef'
      if (i % 3 === 0) o.child = { n: i % 7 }
      o.list[1] = values[(i + 5) % values.length]
      if (i % 50 === 0) o.list.length = 0
      if (i % 50 === 1) o.list.push(0, 'b')
    }
  })
  const legal = new Set([
    0,
    1,
    2.5,
    'text',
    'a text longer than five',
    null,
    undefined,
    true,
    false,
    NaN,
    7n,
    Symbol.for('s'),
    'b',
  ])
  const { o } = heap.root
  const { list } = o
  for (let i = 0; i < 300_000; i++) {
    if (
      !legal.has(o.v) ||
      !['a', 'bcdef'].includes(o.s) ||
      !(o.child.n < 7) ||
      !legal.has(list[1]) ||
      !legal.has(list.at(0))
    ) {
      t.fail(`after ${i} reads`)
      break
    }
  }
  heap.root.stop = true
  await writing
  await b.end()
  t.deepEqual(heap.verify(), [])
  heap.close()
})
