// The command `coheap`, run on real heaps.
import test from 'ava'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Heap } from '../dist/index.js'
import { coheap } from './fixtures/command.js'
import { puppet } from './fixtures/puppet.js'

const fresh = () => `cli-${randomBytes(6).toString('hex')}`

/** A heap whose only user has been killed. */
async function stale() {
  const name = fresh()
  const other = await puppet()
  await other.run(({ Heap, keep }, name) => void (keep.heap = Heap.create(name)), name)
  await other.end('SIGKILL')
  return name
}

test('ls shows each heap with its size, users, age and staleness', async (t) => {
  const heap = Heap.create(fresh())
  const dead = await stale()
  const { code, stdout, stderr } = await coheap('ls')
  t.is(code, 0)
  t.is(stderr, '')
  const lines = stdout.split('\n')
  t.regex(lines[0], /^name +size +pids +stale +age$/)
  const line = lines.find((each) => each.startsWith(heap.name))
  t.regex(line, new RegExp(`^\\S+ +4 MiB +${process.pid} +\\d+ (s|min)$`))
  t.regex(
    lines.find((each) => each.startsWith(dead)),
    / stale +\d+ (s|min)$/,
  )
  heap.close()
  Heap.unlink(dead)
})

test('--dir looks elsewhere', async (t) => {
  const dir = mkdtempSync('/dev/shm/coheap-cli-')
  t.is((await coheap('ls', '--dir', dir)).stdout, 'no heaps\n')
  const heap = Heap.create(fresh(), { dir })
  t.true((await coheap('ls', '--dir', dir)).stdout.includes(heap.name))
  t.is((await coheap('check', heap.name, '--dir', dir)).code, 0)
  t.is((await coheap('check', heap.name)).code, 2)
  t.is((await coheap('rm', '--force', heap.name, '--dir', dir)).code, 0)
  heap.close()
  rmSync(dir, { recursive: true })
})

test('inspect shows every kind of value as a tree, and does not change the heap', async (t) => {
  const heap = Heap.create(fresh())
  Object.assign(heap.root, {
    list: [1, { deep: { deeper: { deepest: 'x\n' } } }],
    'odd key': 10n,
    bytes: new Float64Array(10),
    when: new Date(0),
    error: new RangeError('no'),
    frozen: Object.freeze({ a: undefined }),
    map: new Map([['k', { v: 1 }]]),
    set: new Set(['p']),
    long: 'y'.repeat(1000),
  })
  heap.root.self = heap.root
  const { objects, used } = heap.stats()
  const { code, stdout, stderr } = await coheap('inspect', heap.name)
  t.is(stderr, '')
  t.is(code, 0)
  for (const line of [
    'used by 1 thread',
    '$: object, 10 keys',
    '├─ list: array, 2 elements',
    '│  ├─ 0: 1',
    '│  └─ 1: object, 1 key',
    '│        └─ deeper: object, 1 key',
    '├─ "odd key": 10n',
    '├─ bytes: Float64Array, 10 elements, 80 B',
    '├─ when: 1970-01-01T00:00:00.000Z',
    '├─ error: RangeError: no',
    '├─ frozen: frozen object, 1 key',
    '│  └─ a: undefined',
    '├─ map: Map, 1 entry',
    '│  └─ "k": object, 1 key',
    '│     └─ v: 1',
    '├─ set: Set, 1 value',
    '│  └─ 0: "p"',
    `├─ long: "${'y'.repeat(200)}"… 1000 characters`,
  ]) {
    t.true(stdout.split('\n').includes(line), line)
  }
  t.regex(stdout, /self: object, 10 keys → \$$/m)
  t.notRegex(stdout, /deepest/)
  t.like(heap.stats(), { objects, used, participants: 1 })
  heap.close()
})

test('inspect keeps its lines short and its terminal safe, whatever is in the heap', async (t) => {
  const heap = Heap.create(fresh())
  Object.assign(heap.root, {
    ['k'.repeat(5000)]: 1,
    ['two\nlines']: 2,
    '': 3,
    binary: '\0\x1b[31m\x7f\x9b\u2028\u202e\ud800',
    huge: 10n ** 5000n,
    error: new Error('e\x1b]0;title\x07'.repeat(100)),
    pattern: /\x1b+\u202e/,
    url: new URL(`https://example.org/${'p'.repeat(3000)}`),
    list: new Array(4_000_000_000),
    many: new Map(Array.from({ length: 10_000 }, (_, i) => [{ i }, i])),
    wide: Object.fromEntries(Array.from({ length: 5000 }, (_, i) => [`w${i}`, i])),
    set: new Set(Array.from({ length: 300 }, (_, i) => [i])),
    [Symbol.for('s\n'.repeat(300))]: Symbol.for('\x1b'),
    blob: Buffer.alloc(100_000),
  })
  const { root } = heap
  root.ring = { next: { next: {} } }
  root.ring.next.next.next = root.ring
  root.twice = [root.ring, root.ring]
  const { code, stdout, stderr } = await coheap('inspect', heap.name, '--depth', '6')
  t.is(stderr, '')
  t.is(code, 0)
  const lines = stdout.split('\n')
  t.true(lines.every((line) => line.length < 1000))
  t.true(lines.length < 1000)
  t.notRegex(stdout.replaceAll('\n', ''), /[\0-\x1f\x7f-\x9f\u2028\u202e]/)
  for (const line of [
    `├─ "${'k'.repeat(200)}"… 5000 characters: 1`,
    '├─ "two\\nlines": 2',
    '├─ "": 3',
    '├─ binary: "\\u0000\\u001b[31m\\u007f\\u009b\\u2028\\u202e\\ud800"',
    `├─ huge: 1${'0'.repeat(199)}… 5002 characters`,
    '├─ pattern: /\\x1b+\\u202e/',
    '├─ blob: Buffer, 100000 elements, 97.7 KiB',
    '├─ list: array, 4000000000 elements',
    '│  └─ … 3999999900 more',
    '├─ many: Map, 10000 entries',
    '│  └─ … 9900 more',
    '├─ wide: object, 5000 keys',
    '│  └─ … 4900 more',
    '├─ set: Set, 300 values',
    '│  └─ … 200 more',
    '│        └─ next: object, 1 key → $ › ring',
    '│  ├─ 0: object, 1 key → $ › ring',
    '│  └─ 1: object, 1 key → $ › ring',
  ]) {
    t.true(lines.includes(line), line)
  }
  heap.close()
})

test('ls with many heaps has a line for each, in the order of their names', async (t) => {
  const dir = mkdtempSync('/dev/shm/coheap-cli-')
  const names = Array.from({ length: 60 }, (_, i) => `heap-${String(i).padStart(2, '0')}${'x'.repeat(i % 57)}`)
  const heaps = names.toReversed().map((name) => Heap.create(name, { dir, maxSize: '1MiB', maxParticipants: 4 }))
  const { code, stdout } = await coheap('ls', '--dir', dir)
  t.is(code, 0)
  const [, ...lines] = stdout.trimEnd().split('\n')
  t.deepEqual(
    lines.map((line) => line.split(/ +/)[0]),
    names,
  )
  t.true(lines.every((line) => / 1 MiB +\d+ +\d+ (s|min)$/.test(line)))
  for (const heap of heaps) heap.close()
  t.is((await coheap('ls', '--dir', dir)).stdout, 'no heaps\n')
  rmSync(dir, { recursive: true })
})

/** A persistent heap in a folder of its own, and the bytes of its segment. */
function damaged(t, damage) {
  const dir = mkdtempSync('/dev/shm/coheap-cli-')
  t.teardown(() => rmSync(dir, { recursive: true }))
  const heap = Heap.create('damaged', { dir, maxSize: '4MiB', maxParticipants: 4, persist: true })
  heap.root.text = 'a text that can be found'
  heap.root.list = [1, { deep: true }]
  heap.root.more = 'kept'.repeat(10)
  heap.close()
  const file = join(dir, 'coheap.damaged')
  const bytes = readFileSync(file)
  damage(bytes)
  writeFileSync(file, bytes)
  return dir
}

test('check ends with 1 for a damaged heap and says where, and inspect shows the rest', async (t) => {
  let at
  const dir = damaged(t, (bytes) => {
    // word 1 of the text's block, which says what it is
    at = bytes.indexOf('a text that can be found') - 24
    t.true(at > 0 && at % 16 === 0)
    bytes.fill(0xff, at + 8, at + 16)
  })
  const { code, stdout, stderr } = await coheap('check', 'damaged', '--dir', dir)
  t.is(stderr, '')
  t.is(code, 1)
  const lines = stdout.trimEnd().split('\n')
  t.regex(lines[0], /^offset +violation$/)
  t.true(
    lines.some((line) => line.startsWith(`0x${at.toString(16)} `)),
    stdout,
  )
  t.regex(lines.at(-1), /^damaged: (1 violation|\d+ violations)$/)
  const seen = await coheap('inspect', 'damaged', '--dir', dir)
  t.is(seen.code, 0)
  t.regex(seen.stdout, /─ text: \[ERR_COHEAP_CORRUPT: .*\]$/m)
  t.regex(seen.stdout, /─ more: "(kept){10}"$/m)
})

test('check ends with 2 for what cannot be opened', async (t) => {
  const refused = async (damage, expected) => {
    const dir = damaged(t, damage)
    const { code, stdout, stderr } = await coheap('check', 'damaged', '--dir', dir)
    t.is(code, 2)
    t.is(stdout, '')
    t.regex(stderr, expected)
  }
  await refused((bytes) => bytes.fill(0x55, 0, 4), /^ERR_COHEAP_CORRUPT: this is not a heap.*\n$/)
  await refused((bytes) => bytes.writeUInt16LE(99, 6), /^ERR_COHEAP_VERSION: the heap is of another version \(99\)\n$/)
  // cut off
  const dir = damaged(t, () => undefined)
  truncateSync(join(dir, 'coheap.damaged'), 65_536)
  const { code, stderr } = await coheap('check', 'damaged', '--dir', dir)
  t.is(code, 2)
  t.regex(stderr, /^ERR_COHEAP_CORRUPT: .*\n$/)
})

test('inspect follows a path', async (t) => {
  const heap = Heap.create(fresh())
  heap.root.a = { 'odd key': [new Map([['k', new Set([{ found: true }])]])] }
  const tail = (stdout) => stdout.split('\n\n')[1]
  for (const path of ['$', 'a', '$.a["odd key"]', 'a["odd key"][0].get("k").values()[0].found']) {
    const { stdout, code } = await coheap('inspect', heap.name, path, '--depth', '9')
    t.is(code, 0, path)
    t.true(tail(stdout).startsWith(`${path}: `), path)
    t.regex(stdout, /found: true$/m)
  }
  for (const path of ['$.b', 'a.c', 'a["odd key"][1]', 'a..b', 'a["odd', 'a.get("k")']) {
    const { stdout, stderr, code } = await coheap('inspect', heap.name, path)
    t.is(code, 2, path)
    t.is(stdout, '')
    t.regex(stderr, /^ERR_COHEAP_INVALID_ARGUMENT: .*\n$/)
  }
  heap.root.a = Array.from({ length: 30 }, (_, i) => i)
  t.regex((await coheap('inspect', heap.name, 'a', '--most', '10')).stdout, /├─ 9: 9\n└─ … 20 more\n$/)
  heap.close()
})

test('check finds a live heap sound', async (t) => {
  const heap = Heap.create(fresh())
  heap.root.map = new Map(Array.from({ length: 1000 }, (_, i) => [i, { i }]))
  t.deepEqual(await coheap('check', heap.name), { code: 0, stdout: `${heap.name}: no violations\n`, stderr: '' })
  heap.close()
})

test('a heap that is not there, and one that is stale, cannot be opened', async (t) => {
  const [none, dead] = [fresh(), await stale()]
  for (const command of ['inspect', 'check']) {
    t.deepEqual(await coheap(command, none), {
      code: 2,
      stdout: '',
      stderr: `ERR_COHEAP_NOT_FOUND: there is no heap of the name ${none}\n`,
    })
    const { code, stderr } = await coheap(command, dead)
    t.is(code, 2)
    t.regex(stderr, /^ERR_COHEAP_NOT_FOUND: .* is stale: .*\n$/)
  }
  t.deepEqual(await coheap('rm', dead), { code: 0, stdout: '', stderr: '' })
  t.regex((await coheap('rm', dead)).stderr, /^ERR_COHEAP_NOT_FOUND/)
})

test('rm refuses a heap in use unless it is forced', async (t) => {
  const heap = Heap.create(fresh())
  const refused = await coheap('rm', heap.name)
  t.is(refused.code, 2)
  t.regex(refused.stderr, new RegExp(`^ERR_COHEAP_EXISTS: .* in use by ${process.pid}: .*--force.*\n$`))
  heap.root.still = true
  t.is((await coheap('rm', '--force', heap.name)).code, 0)
  t.false(Heap.list().some((info) => info.name === heap.name))
  t.true(heap.root.still)
  heap.close()
  const kept = Heap.create(fresh(), { persist: true })
  kept.close()
  t.is((await coheap('rm', kept.name)).code, 0)
})

test('wrong usage is one line with a code', async (t) => {
  for (const args of [
    [],
    ['frobnicate'],
    ['check'],
    ['ls', '--nope'],
    ['check', '.bad/'],
    ['inspect', 'x', '--depth', 'y'],
  ]) {
    const { code, stdout, stderr } = await coheap(...args)
    t.is(code, 2, args.join(' '))
    t.is(stdout, '')
    t.regex(stderr, /^ERR_COHEAP_INVALID_ARGUMENT: .*\n$/, args.join(' '))
  }
  t.regex((await coheap('--help')).stdout, /inspect .*\[path\]/)
  t.regex((await coheap('--version')).stdout, /^\d+\.\d+\.\d+\n$/)
})
