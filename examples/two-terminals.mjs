// Two programs, one list. Terminal A (this process) creates a heap, terminal B (its child) opens it by name.
// Shows live reads, isolation of a transaction, and who wins when two of them want the same object.
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import assert from 'node:assert/strict'
import { Heap } from 'coheap'

const name = process.argv[2]
if (name === undefined) await terminalA()
else terminalB(name)

async function terminalA() {
  const heap = Heap.create()
  console.log(`A: created the heap ${heap.name}`)
  const { root } = heap
  root.list = []

  const child = fork(fileURLToPath(import.meta.url), [heap.name])
  const b = async (step) => {
    child.send(step)
    const [answer] = await once(child, 'message')
    return answer
  }

  await b('push')
  assert.equal(root.list.length, 1)
  assert.equal(root.list[0], 'stringy')
  console.log('A: sees what B pushed:', [...root.list])

  // What a transaction has written is invisible to others until it commits.
  let tx = heap.begin()
  tx.run(() => root.list.push('by A, in a transaction'))
  assert.equal(await b('length'), 1)
  tx.commit()
  assert.equal(await b('length'), 2)
  console.log('B: saw 1 before the commit of A and 2 after it')

  // The transaction that began first wins: A is the younger one here.
  await b('begin and push')
  tx = heap.begin()
  assert.throws(() => tx.run(() => root.list.push('too late')), { code: 'ERR_COHEAP_ABORTED' })
  await b('commit')
  assert.deepEqual([...root.list].slice(2), ['by B, the elder'])
  console.log('A: was aborted, for B began earlier')

  // reserveReads protects what B has only read …
  await b('begin with reserved reads, and read')
  tx = heap.begin()
  assert.throws(() => tx.run(() => root.list.push('too late again')), { code: 'ERR_COHEAP_ABORTED' })
  await b('write and commit')
  assert.equal(root.list.length, 4)
  console.log('A: was aborted again, for B had reserved what it read')

  // … and without it the same reader and writer both succeed.
  await b('begin, and read')
  tx = heap.begin()
  tx.run(() => root.list.push('written while B reads'))
  tx.commit()
  await b('commit what was only read')
  assert.equal(root.list.length, 5)
  console.log('A and B: both succeeded')

  // Nothing of a transaction remains after an exception.
  assert.throws(
    () =>
      heap.transaction(() => {
        root.list.push('never')
        root.other = { never: true }
        throw new Error('changed my mind')
      }),
    /changed my mind/,
  )
  assert.equal(root.list.length, 5)
  assert.equal('other' in root, false)
  tx = heap.begin()
  tx.run(() => root.list.push('never'))
  tx.abort()
  assert.equal(root.list.length, 5)
  console.log('A: nothing remained of an exception and of an abort')

  child.send('bye')
  await once(child, 'exit')
  heap.close()
  console.log('done')
}

function terminalB(name) {
  const heap = Heap.open(name)
  const { root } = heap
  let tx
  const steps = {
    push: () => root.list.push('stringy'),
    length: () => root.list.length,
    'begin and push': () => {
      tx = heap.begin()
      tx.run(() => root.list.push('by B, the elder'))
    },
    commit: () => tx.commit(),
    'begin with reserved reads, and read': () => {
      tx = heap.begin({ reserveReads: true })
      return tx.run(() => root.list.length)
    },
    'write and commit': () => {
      tx.run(() => root.list.push('by B, who had only read'))
      tx.commit()
    },
    'begin, and read': () => {
      tx = heap.begin()
      return tx.run(() => root.list.length)
    },
    'commit what was only read': () => tx.commit(),
    bye: () => {
      heap.close()
      process.disconnect()
    },
  }
  process.on('message', (step) => {
    const answer = steps[step]()
    if (step !== 'bye') process.send(answer ?? null)
  })
}
