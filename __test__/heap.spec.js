// Opening, closing, naming, and bad input: each has its code and leaves everything as it was.
import test from 'ava'
import { createRequire } from 'node:module'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CoheapError, CoheapRangeError, CoheapTypeError, Heap, SharedMap, snapshot, struct } from '../dist/index.js'

const index = new URL('../dist/index.js', import.meta.url)
const unique = (what) => `${what}-${process.pid}`
const invalid = { code: 'ERR_COHEAP_INVALID_ARGUMENT' }

test('require gives the same module', (t) => {
  const required = createRequire(import.meta.url)(index.pathname)
  t.is(required.Heap, Heap)
  const out = execFileSync(
    process.execPath,
    ['-e', `console.log(typeof require(${JSON.stringify(index.pathname)}).Heap.create)`],
    { encoding: 'utf8' },
  )
  t.is(out, 'function\n')
})

test('a heap has a name, made up if none is given, readable after close', (t) => {
  const heap = Heap.create()
  t.regex(heap.name, /^[\w.-]{1,64}$/)
  heap.close()
  t.is(typeof heap.name, 'string')
  heap.close()
})

test('create says EXISTS, open NOT_FOUND', (t) => {
  const name = unique('exists')
  t.throws(() => Heap.open(name), { code: 'ERR_COHEAP_NOT_FOUND' })
  const heap = Heap.create(name)
  t.throws(() => Heap.create(name), { code: 'ERR_COHEAP_EXISTS' })
  heap.close()
  const second = Heap.openOrCreate(name)
  second.close()
  t.throws(() => Heap.open(name), { code: 'ERR_COHEAP_NOT_FOUND' })
})

test('a second open in one thread is the same heap, counted', (t) => {
  const name = unique('counted')
  const heap = Heap.create(name)
  t.is(Heap.open(name), heap)
  t.is(Heap.openOrCreate(name), heap)
  heap.close()
  heap.close()
  heap.root.x = 1
  heap.close()
  t.true(heap.closed)
  t.throws(() => heap.root, { code: 'ERR_COHEAP_CLOSED' })
  t.throws(() => Heap.open(name), { code: 'ERR_COHEAP_NOT_FOUND' })
})

test('after unlink the name is free at once, in the same thread too', (t) => {
  const name = unique('unlinked')
  const old = Heap.create(name)
  old.root.x = 'old'
  t.true(Heap.unlink(name))
  const young = Heap.create(name)
  t.not(young, old)
  t.false('x' in young.root)
  t.is(old.root.x, 'old')
  t.is(Heap.open(name), young)
  young.close()
  young.close()
  old.close()
})

test('several heaps at once; objects of one are refused by another', (t) => {
  const a = Heap.create()
  const b = Heap.create()
  a.root.o = { x: 1 }
  const wrong = { code: 'ERR_COHEAP_WRONG_HEAP', instanceOf: TypeError }
  t.throws(() => (b.root.o = a.root.o), wrong)
  t.throws(() => (b.root.o = { deep: [new Map([['k', a.root.o]])] }), {
    ...wrong,
    message: /\$\.deep\[0\]\.get\("k"\)/,
  })
  t.throws(() => b.share([a.root]), wrong)
  a.root.bytes = new Uint8Array(4)
  t.throws(() => (b.root.bytes = a.root.bytes.subarray(1)), wrong)
  t.deepEqual(Object.keys(b.root), [])
  b.root.o = snapshot(a.root.o)
  t.is(b.root.o.x, 1)
  a.close()
  b.close()
})

test('after close every use of the heap and its objects says so', (t) => {
  const heap = Heap.create()
  const { root } = heap
  Object.assign(root, { o: { a: 1 }, list: [1], map: new Map([[1, 2]]), set: new Set([1]) })
  const { o, list, map, set } = root
  const c = heap.channel('c')
  const tx = heap.begin()
  heap.close()
  const closed = { code: 'ERR_COHEAP_CLOSED', instanceOf: CoheapError }
  const uses = [
    () => root.o,
    () => o.a,
    () => (o.a = 1),
    () => 'a' in o,
    () => delete o.a,
    () => Object.keys(o),
    () => JSON.stringify(o),
  ]
  uses.push(
    () => list[0],
    () => list.length,
    () => list.missing,
    () => 'missing' in list,
    () => Object.hasOwn(list, 'missing'),
    () => list.push(1),
    () => [...list],
    () => map.get(1),
    () => map.size,
    () => [...map],
  )
  uses.push(
    () => set.has(1),
    () => set.add(2),
    () => snapshot(o),
    () => heap.root,
    () => heap.share({}),
    () => heap.transaction(() => 1),
  )
  uses.push(
    () => heap.begin(),
    () => heap.channel('c'),
    () => c.tryPut(1),
    () => c.length,
    () => heap.stats(),
    () => heap.verify(),
  )
  uses.push(
    () => heap.participants(),
    () => heap.alloc(Uint8Array, 1),
    () => tx.run(() => 1),
    () => tx.commit(),
  )
  for (const use of uses) t.throws(use, closed, String(use))
  tx.abort()
})

test('wrong names, sizes and options', (t) => {
  for (const name of ['', '.hidden', 'a/b', 'a b', 'ä', 'x'.repeat(65), 'a\0b']) {
    for (const f of [Heap.create, Heap.open, Heap.openOrCreate, Heap.unlink])
      t.throws(() => f.call(Heap, name), { ...invalid, instanceOf: RangeError })
  }
  for (const name of [5, null, {}, Symbol('x')]) t.throws(() => Heap.open(name), { ...invalid, instanceOf: TypeError })
  t.throws(() => Heap.open(), invalid)
  const name = unique('never')
  const bad = [
    5,
    null,
    { size: -1 },
    { size: 'many' },
    { size: 1.5 },
    { size: '64XB' },
    { size: true },
    { maxSize: 1024 },
    { maxSize: '65GiB' },
  ]
  bad.push(
    { size: '2MiB', maxSize: '1MiB' },
    { mode: 'rw' },
    { mode: 0o1777 },
    { persist: 1 },
    { maxParticipants: 0 },
    { maxParticipants: 1e6 },
  )
  bad.push({ patience: -1 }, { patience: 'x' }, { dir: 5 }, { dir: '' })
  for (const options of bad) t.throws(() => Heap.create(name, options), invalid, JSON.stringify(options))
  t.throws(() => Heap.create(name, { dir: '/nowhere/at/all' }), { instanceOf: CoheapError })
  for (const dir of [5, '', true, {}, 'a\0b']) {
    t.throws(() => Heap.list({ dir }), invalid)
    t.throws(() => Heap.unlink(name, { dir }), invalid)
  }
  t.throws(() => new Heap(), { instanceOf: TypeError })
  t.throws(() => Heap.open(name), { code: 'ERR_COHEAP_NOT_FOUND' })
})

test('what is no class, no messages, no type is refused by name', async (t) => {
  const heap = Heap.create()
  const channel = heap.channel('c')
  for (const Type of [undefined, null, DataView, Array, 5, {}]) t.throws(() => heap.alloc(Type, 3), invalid)
  for (const messages of [undefined, null, 5, {}, () => [1]]) {
    t.throws(() => channel.tryPutMany(messages), invalid)
    await t.throwsAsync(async () => channel.putMany(messages), invalid)
  }
  t.throws(() => struct('Never', { x: Object.create(null) }), invalid)
  t.is(channel.length, 0)
  heap.close()
})

test('sizes are numbers or strings with a unit', (t) => {
  for (const [size, expected] of [
    ['2MiB', 2 ** 21],
    ['2048KiB', 2 ** 21],
    [2 ** 21, 2 ** 21],
    ['2 mib', 2 ** 21],
  ]) {
    const heap = Heap.create(undefined, { size, maxSize: size })
    t.is(heap.stats().capacity, expected)
    heap.close()
  }
})

test('a full heap: OUT_OF_MEMORY, undone as a whole; after freeing it works again', (t) => {
  const heap = Heap.create(undefined, { size: '1MiB', maxSize: '2MiB' })
  const { root } = heap
  root.keep = { text: 'kept' }
  const full = { code: 'ERR_COHEAP_OUT_OF_MEMORY', instanceOf: RangeError }
  t.throws(() => (root.big = new Uint8Array(4 << 20)), full)
  t.throws(() => {
    for (let i = 0; ; i++) root['k' + i] = 'x'.repeat(50_000)
  }, full)
  const count = Object.keys(root).length
  t.throws(
    () =>
      heap.transaction(() => {
        root.keep.text = 'changed'
        for (let i = 0; ; i++) root['t' + i] = 'y'.repeat(50_000)
      }),
    full,
  )
  t.is(root.keep.text, 'kept')
  t.is(Object.keys(root).length, count)
  for (const key of Object.keys(root)) if (key.startsWith('k') && key !== 'keep') delete root[key]
  root.again = 'z'.repeat(200_000)
  t.is(root.again.length, 200_000)
  t.deepEqual(heap.verify(), [])
  heap.close()
})

test('too many participants', (t) => {
  const name = unique('crowded')
  const heap = Heap.create(name, { maxParticipants: 1 })
  const { stdout } = spawnSync(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `
    import { Heap } from '${index.href}'
    try { Heap.open('${name}') } catch (e) { console.log(e.code) }`,
    ],
    { encoding: 'utf8' },
  )
  t.is(stdout, 'ERR_COHEAP_TOO_MANY_PARTICIPANTS\n')
  t.throws(
    () => {
      for (let i = 0; i < 10; i++) heap.begin()
    },
    { code: 'ERR_COHEAP_TOO_MANY_PARTICIPANTS' },
  )
  heap.root.x = 1
  heap.close()
})

test("a folder of one's own holds the segment", (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'coheap-'))
  const name = unique('elsewhere')
  const heap = Heap.create(name, { dir, maxSize: '2MiB' })
  heap.root.x = 1
  t.throws(() => Heap.open(name), { code: 'ERR_COHEAP_NOT_FOUND' })
  t.true(Heap.list({ dir }).some((h) => h.name === name))
  t.is(Heap.open(name, { dir }), heap)
  heap.close()
  heap.close()
  t.false(Heap.list({ dir }).some((h) => h.name === name && !h.stale))
  rmSync(dir, { recursive: true })
})

test('stats, participants, list and verify say what is', (t) => {
  const heap = Heap.create(unique('figures'), { maxSize: '8MiB' })
  heap.root.o = { a: 1 }
  const s = heap.stats()
  t.is(s.capacity, 8 << 20)
  t.true(s.committed <= s.capacity && s.used > 0 && s.used <= s.committed)
  t.true(s.free > 0 && s.free <= s.capacity - s.used)
  t.true(s.objects >= 2)
  t.is(s.participants, 1)
  const { commits } = s
  heap.transaction(() => (heap.root.o.a = 2))
  t.true(heap.stats().commits > commits)
  const [self] = heap.participants()
  t.is(self.pid, process.pid)
  t.true(self.self && self.alive && self.since instanceof Date)
  const info = Heap.list().find((h) => h.name === heap.name)
  t.true(info.createdAt instanceof Date && !info.stale && info.pids.includes(process.pid) && info.size > 0)
  t.deepEqual(heap.verify(), [])
  heap.close()
})

test('errors are of our classes, with codes', (t) => {
  const e = t.throws(() => Heap.open(unique('none')))
  t.true(e instanceof CoheapError && e instanceof Error && !(e instanceof TypeError))
  t.is(e.name, 'CoheapError')
  const type = t.throws(() => Heap.open(5))
  t.true(type instanceof CoheapError && type instanceof CoheapTypeError && type instanceof TypeError)
  const range = t.throws(() => Heap.open(''))
  t.true(range instanceof CoheapError && range instanceof CoheapRangeError && range instanceof RangeError)
  t.false(range instanceof CoheapTypeError)
  t.false({} instanceof CoheapError)
  t.true(e.stack.includes('heap.spec.js'))
})

test('the used bytes are what they were after ten thousand overwrites', (t) => {
  const heap = Heap.create(undefined, { maxSize: '16MiB' })
  const { root } = heap
  root.list = []
  root.map = new Map()
  const round = (i) => {
    root.text = 'a text that is not short ' + (i % 10)
    root.object = { a: i, b: { c: 'x' } }
    for (let k = 0; k < 5; k++) root.list.push('some text of some length ' + k)
    root.list.splice(0, 5)
    root.map.set('key' + (i % 100), 'value of some length ' + (i % 7))
    root.map.delete('key' + ((i + 50) % 100))
  }
  for (let i = 0; i < 1000; i++) round(i)
  t.true(root.map instanceof SharedMap)
  const { used } = heap.stats()
  for (let i = 0; i < 5000; i++) round(i)
  // `object` leaves its predecessors to the collector; everything else is freed at once
  const grown = heap.stats().used - used
  t.true(grown < 5000 * 400, String(grown))
  t.deepEqual(heap.verify(), [])
  heap.close()
})
