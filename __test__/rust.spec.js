// A Rust program and a Node program work on one heap.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { Heap } from 'coheap'

test('a Rust producer feeds a Node consumer through one heap', async (t) => {
  t.timeout(600_000, 'the Rust program may have to be compiled first')
  const heap = Heap.create()
  const count = 20_000
  const root = fileURLToPath(new URL('..', import.meta.url))
  const args = ['run', '--quiet', '-p', 'coheap-heap', '--example', 'producer', '--', heap.name, String(count)]
  const child = spawn('cargo', args, { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = once(child, 'exit')
  // its wishes for the channel are Rust's: it may not have made it yet
  const readings = heap.channel('readings', { capacity: 1000 })
  let seen = 0
  let sum = 0
  for await (const message of readings) {
    sum += message.value
    seen++
  }
  await heap.channel('answers').put({ count: seen, sum })
  const [code] = await ended
  t.is(code, 0)
  t.is(seen, count)
  t.is(sum, (count * (count - 1)) / 2)
  heap.close()
})
