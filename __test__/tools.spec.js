// Live objects in the tools that everybody uses: they work, or refuse clearly.
import test from 'ava'
import assert from 'node:assert'
import { Console } from 'node:console'
import { PassThrough } from 'node:stream'
import { start } from 'node:repl'
import { formatWithOptions, inspect, isDeepStrictEqual } from 'node:util'
import _ from 'lodash'
import { Heap, isShared, snapshot } from '../dist/index.js'

const heap = Heap.create()
test.after.always(() => heap.close())
const fresh = (value) => heap.share(value)
const people = () =>
  fresh([
    { name: 'a', age: 3 },
    { name: 'b', age: 1 },
    { name: 'c', age: 3 },
  ])

test('assert.deepStrictEqual compares live objects with plain ones, and its message is short', (t) => {
  const o = fresh({ a: 1, list: [1, { b: 2 }] })
  assert.deepStrictEqual(o, { a: 1, list: [1, { b: 2 }] })
  assert.deepStrictEqual({ a: 1, list: [1, { b: 2 }] }, o)
  t.true(isDeepStrictEqual(people(), snapshot(people())))
  const { message } = t.throws(() => assert.deepStrictEqual(o, { a: 2 }), { code: 'ERR_ASSERTION' })
  t.true(message.length < 500)
  t.throws(() => assert.deepStrictEqual(people(), []), { code: 'ERR_ASSERTION' })
})

test('assert.deepStrictEqual compares the members of maps and sets', (t) => {
  const [m, same, other] = [1, 1, 2].map((v) => fresh(new Map([['k', { v }]])))
  t.true(isDeepStrictEqual(m, same))
  t.false(isDeepStrictEqual(m, other))
  t.true(isDeepStrictEqual(fresh(new Set([1])), fresh(new Set([1]))))
  t.false(isDeepStrictEqual(fresh(new Set([1])), fresh(new Set([2]))))
  // they are no Map and no Set
  t.false(isDeepStrictEqual(m, new Map([['k', { v: 1 }]])))
  t.true(isDeepStrictEqual(snapshot(m), new Map([['k', { v: 1 }]])))
})

test('structuredClone refuses all of them', (t) => {
  for (const live of [fresh({}), fresh([]), fresh(new Map([[1, 2]])), fresh(new Set([1]))]) {
    for (const value of [live, { deep: [live] }]) {
      const error = t.throws(() => structuredClone(value), { any: true })
      t.is(error.name, 'DataCloneError')
    }
  }
})

test('console.log with every format, console.table', (t) => {
  const o = fresh({ a: 1, b: [2] })
  t.is(formatWithOptions({}, '%j', o), '{"a":1,"b":[2]}')
  t.is(formatWithOptions({}, '%O', o), 'Shared { a: 1, b: Shared [ 2 ] }')
  t.regex(formatWithOptions({}, '%o', o), /^Proxy \[\n? *Shared \{/)
  t.is(inspect(o, { depth: 0 }), 'Shared { a: 1, b: [Shared] }')
  t.is(inspect(fresh([1, 2, 3]), { maxArrayLength: 1 }), 'Shared [ 1, ... 2 more items ]')
  t.is(inspect(fresh(Object.create(null))), 'Shared: null prototype {}')
  const out = new PassThrough()
  new Console(out).table(people())
  t.is(out.read().toString().split('\n').slice(0, 4).at(-1), "│ 0       │ 'a'  │ 3   │")
})

test('a heap is shown by its name and its root', (t) => {
  const other = Heap.create()
  const { name } = other
  other.root.a = { b: { c: 1 } }
  other.on('participant-died', () => undefined)
  t.is(inspect(other, { depth: 1, breakLength: Infinity }), `Heap { name: '${name}', root: Shared { a: [Shared] } }`)
  t.is(inspect([other], { depth: 0 }), '[ [Heap] ]')
  other.close()
  t.is(inspect(other), `Heap { name: '${name}', closed: true }`)
})

test("Node's REPL shows them and completes their keys", async (t) => {
  const input = new PassThrough()
  const output = new PassThrough()
  const repl = start({ prompt: '', input, output, terminal: false })
  repl.context.o = fresh({ first: 1, second: [1] })
  const said = new Promise((resolve) => {
    let text = ''
    output.on('data', (chunk) => {
      text += chunk
      if (text.includes('\n')) resolve(text)
    })
  })
  input.write('o\n')
  t.is(await said, 'Proxy [ Shared { first: 1, second: Shared [ 1 ] }, [live] ]\n')
  const [keys] = await new Promise((resolve, reject) => {
    repl.complete('o.', (error, found) => (error ? reject(error) : resolve(found)))
  })
  t.true(keys.includes('o.first') && keys.includes('o.second'))
  repl.close()
})

test("lodash's common functions", (t) => {
  const list = people()
  const o = fresh({ a: { b: [{ c: 3 }] } })
  t.is(_.get(o, 'a.b[0].c'), 3)
  _.set(o, 'a.x.y', 5)
  t.is(o.a.x.y, 5)
  t.true(isShared(o.a.x))
  t.true(_.unset(o, 'a.x') && !_.has(o, 'a.x'))
  _.merge(o, { a: { z: 1 } })
  t.is(o.a.z, 1)
  t.false(isShared(_.cloneDeep(o)) || isShared(_.cloneDeep(o).a))
  t.deepEqual(_.cloneDeep(o), snapshot(o))
  t.true(_.isEqual(o, snapshot(o)) && _.isPlainObject(o) && _.isArray(list))
  t.true(_.isEmpty(fresh({})) && _.isEmpty(fresh([])) && !_.isEmpty(o))
  t.deepEqual(Object.keys(_.groupBy(list, 'age')), ['1', '3'])
  t.deepEqual(_.map(_.sortBy(list, ['age', 'name']), 'name'), ['b', 'a', 'c'])
  t.deepEqual(_.map(_.orderBy(list, ['age', 'name'], ['desc', 'desc']), 'name'), ['c', 'a', 'b'])
  t.is(_.find(list, { name: 'b' }), list[1])
  t.is(_.keyBy(list, 'name').c, list[2])
  t.is(_.uniqBy(list, 'age').length, 2)
  t.is(_.sumBy(list, 'age'), 7)
  t.deepEqual(_.chunk(fresh([1, 2, 3]), 2), [[1, 2], [3]])
  t.deepEqual(_.flattenDeep(fresh([1, [2, [3]]])), [1, 2, 3])
  t.deepEqual(_.remove(list, (p) => p.age === 3).length, 2)
  t.is(list.length, 1)
  t.deepEqual(_.pick(fresh({ a: 1, b: 2 }), ['a']), { a: 1 })
  t.deepEqual(_.omit(fresh({ a: 1, b: 2 }), ['a']), { b: 2 })
  t.deepEqual(_.toArray(fresh(new Map([[1, 2]]))), [[1, 2]])
  // no Map for lodash: it would look for entries that are not there
  t.false(_.isMap(fresh(new Map())))
  t.false(_.isEqual(fresh(new Map([[1, 2]])), new Map([[1, 2]])))
})
