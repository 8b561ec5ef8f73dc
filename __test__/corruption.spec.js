// Damage as JavaScript sees it: copies of a heap with words overwritten, before they are opened and while they are in use,
// read with and without crossing into native code. A result or an error with a code; never a signal, never a hang.
//
// COHEAP_CORRUPTION_CASES and COHEAP_CORRUPTION_SEED say how many cases, and from which on: a case is its number and the heap that
// is damaged, in which there are processes and times. The heap is kept if a case fails; COHEAP_CORRUPTION_IMAGE says where.
import test from 'ava'
import { fork } from 'node:child_process'
import {
  closeSync,
  copyFileSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Heap } from '../dist/index.js'
import { NAME } from './fixtures/damaged.js'

const IMAGE = process.env['COHEAP_CORRUPTION_IMAGE']
const FIRST = Number(process.env['COHEAP_CORRUPTION_SEED'] ?? 150)
const CASES = Number(process.env['COHEAP_CORRUPTION_CASES'] ?? 100)
/**
 * A case that says nothing while we have looked so often, each second, hangs. It takes milliseconds; the rest is for a busy
 * machine. Looks, not time: who stops all processes for a while stops both.
 */
const PATIENCE = 120
const onLinux = process.platform === 'linux' ? test : test.skip

const options = { maxSize: '4MiB', maxParticipants: 16, persist: true }

function fill(heap) {
  const { root } = heap
  root.text = 'a text that does not fit in a cell'
  root.numbers = Array.from({ length: 40 }, (_, i) => i * 1.5)
  root.mixed = Array.from({ length: 30 }, (_, i) => (i % 3 === 0 ? `text number ${i}` : { i, name: `n${i}`, age: i }))
  root.table = Object.fromEntries(Array.from({ length: 90 }, (_, i) => [`key ${i}`, i]))
  root.map = new Map(Array.from({ length: 100 }, (_, i) => [i % 2 === 0 ? i : `key ${i}`, { i }]))
  root.set = new Set(Array.from({ length: 30 }, (_, i) => `key ${i}`))
  root.view = new Float64Array(20).fill(1.5)
  root.big = 2n ** 90n
  root.date = new Date(0)
  root.frozen = Object.freeze({ a: 1, b: 'text', c: [1, 2] })
  root.self = root
  for (const [name, capacity] of [
    ['bounded', 100],
    ['free', Infinity],
  ]) {
    const channel = heap.channel(name, { capacity })
    for (let i = 0; i < 30; i++) channel.tryPut(i % 2 === 0 ? i : { i, text: `message number ${i}` })
  }
}

function segmentIn(dir) {
  const files = readdirSync(dir, { recursive: true }).map((file) => join(dir, file))
  return files.filter((file) => statSync(file).isFile()).sort((a, b) => statSync(b).size - statSync(a).size)[0]
}

/** Tries the cases in processes, and another one where one has failed. */
async function run(dir, file, image) {
  const failed = []
  const tally = { results: 0, errors: 0, unopened: 0 }
  let next = FIRST
  while (next < FIRST + CASES && failed.length < 20) {
    const child = fork(
      fileURLToPath(new URL('fixtures/damaged.js', import.meta.url)),
      [dir, file, image, next, FIRST + CASES].map(String),
      { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] },
    )
    let complaint = ''
    child.stderr.setEncoding('utf8').on('data', (text) => (complaint += text))
    let looks = 0
    const watchdog = setInterval(() => {
      if (++looks < PATIENCE) return
      complaint += 'it hangs'
      child.kill('SIGKILL')
    }, 1000)
    child.on('message', (message) => {
      looks = 0
      if (message.case !== undefined) next = message.case
      else {
        for (const key of Object.keys(tally)) tally[key] += message.done[key]
        next++
        // a long run says where it is
        if ((next - FIRST) % 1000 === 0) console.log(`cases ${FIRST} to ${next - 1}: ${failed.length} failed`, tally)
      }
    })
    const [code, signal] = await new Promise((resolve) => child.on('close', (...how) => resolve(how)))
    clearInterval(watchdog)
    if (code !== 0) {
      failed.push(`case ${next}: ${signal ?? code}: ${complaint}`)
      console.log(failed.at(-1))
      next++
      rmSync(file, { force: true })
    }
  }
  return { failed, tally }
}

onLinux('a damaged heap gives results or errors with a code', async (t) => {
  t.timeout(60_000 + 2000 * CASES)
  const dir = mkdtempSync('/dev/shm/coheap-damaged-')
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const heap = Heap.create(NAME, { ...options, dir })
  fill(heap)
  const file = segmentIn(dir)
  const { committed } = heap.stats()
  heap.close()
  const image = join(dir, 'image')
  copyFileSync(IMAGE ?? file, image)
  truncateSync(image, committed)
  rmSync(file)
  const { failed, tally } = await run(dir, file, image)
  t.log(`cases ${FIRST} to ${FIRST + CASES - 1}: ${failed.length} failed`, tally)
  if (failed.length > 0 && IMAGE === undefined) {
    const kept = join(mkdtempSync(join(tmpdir(), 'coheap-damaged-')), 'image')
    copyFileSync(image, kept)
    t.log(`again: COHEAP_CORRUPTION_IMAGE=${kept} npm run prove:corruption -- --cases 1 --seed <case>`)
  }
  t.deepEqual(failed, [])
})

onLinux('what the header says of its own size is not believed', (t) => {
  const dir = mkdtempSync('/dev/shm/coheap-forged-')
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const heap = Heap.create(NAME, { maxSize: '64MiB', dir })
  heap.root.list = [1.25, 2.25, 3.25]
  const { list } = heap.root
  t.is(list.at(1), 2.25)
  const { committed } = heap.stats()
  const file = segmentIn(dir)
  const bytes = readFileSync(file).subarray(0, committed)
  const words = Array.from({ length: committed / 8 }, (_, i) => 8 * i)
  const body = words.find((at) => bytes.readDoubleLE(at) === 1.25 && bytes.readDoubleLE(at + 8) === 2.25) - 16
  const identity = words.find((at) => at > 0 && bytes.readBigUInt64LE(at) === BigInt(body) && bytes[at - 8] === 3) - 24
  const fd = openSync(file, 'r+')
  const write = (at, value) => {
    const word = Buffer.alloc(8)
    word.writeBigUInt64LE(value)
    writeSync(fd, word, 0, 8, at)
  }
  // its elements would lie where nobody has allocated anything, or before their body
  const version = bytes.readBigUInt64LE(identity)
  const corrupt = { code: 'ERR_COHEAP_CORRUPT' }
  write(0xc0, 64n << 20n)
  write(identity + 24, BigInt(committed) + 4096n)
  write(identity, version + 2n)
  t.throws(() => list.at(1), corrupt)
  write(identity + 24, BigInt(body))
  write(identity + 16, 3n | (0xffff_ffffn << 32n))
  write(identity, version + 4n)
  t.throws(() => list.at(1), corrupt)
  write(identity + 16, 3n)
  write(identity, version + 6n)
  t.is(list.at(1), 2.25)
  t.is(heap.stats().committed, committed)
  closeSync(fd)
  heap.close()
})

onLinux('a view that would lie beyond its buffer is damage', (t) => {
  const dir = mkdtempSync('/dev/shm/coheap-forged-')
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  const heap = Heap.create(NAME, { maxSize: '64MiB', dir })
  heap.root.views = [new Float64Array(7), new Float64Array(7), new Uint16Array(7), Buffer.alloc(7)]
  const { committed } = heap.stats()
  const file = segmentIn(dir)
  const bytes = readFileSync(file).subarray(0, committed)
  const fd = openSync(file, 'r+')
  const write = (at, value) => {
    const patch = Buffer.alloc(8)
    patch.writeBigUInt64LE(value)
    writeSync(fd, patch, 0, 8, at)
  }
  // an identity block: +16 its buffer, a cell · +24 where it begins in there · +32 its length in elements
  const word = (at) => bytes.readBigUInt64LE(at)
  const places = Array.from({ length: committed / 16 - 3 }, (_, i) => 16 * i)
  const found = places.filter((at) => word(at + 16) >> 48n === 0xfffen && word(at + 24) === 0n && word(at + 32) === 7n)
  t.is(found.length, 4)
  const corrupt = { code: 'ERR_COHEAP_CORRUPT' }
  const { views } = heap.root
  for (const [i, at] of found.entries()) {
    for (const [offset, value] of [
      [32, 1n << 20n],
      [32, 2n ** 64n - 1n],
      [24, 1n],
      [24, 8n],
    ]) {
      write(at + offset, value)
      t.throws(() => views[i], corrupt, `view ${i}: ${value} at +${offset}`)
      write(at + offset, offset === 32 ? 7n : 0n)
    }
    t.is(views[i].length, 7)
  }
  closeSync(fd)
  heap.close()
})
