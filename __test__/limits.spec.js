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
