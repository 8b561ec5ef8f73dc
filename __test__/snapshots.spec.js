// Snapshots of what is not live itself, but leads to live objects: frozen values, errors, plain containers.
import test from 'ava'
import { Heap, isShared, snapshot } from '../dist/index.js'

const heap = Heap.create()
const other = Heap.create()
test.after.always(() => {
  heap.close()
  other.close()
})

/** The first live object that a value leads to. */
function firstLive(root) {
  const seen = new Set([root])
  for (const value of seen) {
    if (value === null || typeof value !== 'object') continue
    if (isShared(value)) return value
    if (value instanceof Map) for (const entry of value) entry.forEach((x) => seen.add(x))
    else for (const key of Reflect.ownKeys(value)) seen.add(value[key])
  }
  return undefined
}

test('live members keep what they have in common', (t) => {
  const { root } = heap
  root.frozen = Object.freeze({ list: [1], map: new Map([['k', { deep: true }]]) })
  root.holder = { list: root.frozen.list, again: Object.freeze([root.frozen.list, root.frozen.map]) }
  const { frozen, holder } = snapshot({ frozen: root.frozen, holder: root.holder })
  t.is(frozen.list, holder.list)
  t.is(frozen.list, holder.again[0])
  t.is(frozen.map, holder.again[1])
  t.is(firstLive([frozen, holder]), undefined)
  t.deepEqual(frozen, { list: [1], map: new Map([['k', { deep: true }]]) })
})

test('what errors hold is copied with them', (t) => {
  const { root } = heap
  root.error = Object.assign(new AggregateError([{ of: 'it' }], 'all', { cause: { live: [1] } }), { detail: { a: 1 } })
  const { error } = root
  t.true(isShared(error.cause))
  for (const copy of [snapshot(error), snapshot([error])[0], snapshot(new RangeError('x', { cause: error })).cause]) {
    t.is(firstLive(copy), undefined)
    t.true(copy instanceof AggregateError)
    t.deepEqual([copy.message, copy.stack], ['all', error.stack])
    t.deepEqual([copy.cause, copy.detail, copy.errors], [{ live: [1] }, { a: 1 }, [{ of: 'it' }]])
    t.deepEqual(Object.keys(copy), ['detail'])
  }
})

test('live objects of several heaps', (t) => {
  heap.root.here = { a: 1 }
  other.root.there = { b: [2] }
  const both = () => snapshot({ x: heap.root.here, y: new Map([['z', other.root.there]]) })
  t.deepEqual(both(), { x: { a: 1 }, y: new Map([['z', { b: [2] }]]) })
  t.throws(() => heap.transaction(both), { code: 'ERR_COHEAP_WRONG_HEAP' })
})
