// Every program in examples/ is run as a newcomer would run it, in a process of its own, and its outcome is checked.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import test from 'ava'
import { Heap } from 'coheap'

/** Runs a program; gives its exit code and what it printed. */
async function run(program, ...args) {
  const path = fileURLToPath(new URL(`../examples/${program}`, import.meta.url))
  const child = spawn(process.execPath, [path, ...args.map(String)], { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  const [code] = await once(child, 'close')
  return { code, output, pid: child.pid }
}

test('S1: two terminals see each other, and the elder transaction wins', async (t) => {
  const { code, output } = await run('two-terminals.mjs')
  t.is(code, 0, output)
  t.regex(output, /A: sees what B pushed: \[ 'stringy' \]/)
  t.regex(output, /B: saw 1 before the commit of A and 2 after it/)
  t.regex(output, /A: was aborted, for B began earlier/)
  t.regex(output, /A: was aborted again, for B had reserved what it read/)
  t.regex(output, /A and B: both succeeded/)
  t.regex(output, /A: nothing remained of an exception and of an abort\ndone/)
})

test('S2: ten workers answer ten requests', async (t) => {
  const { code, output } = await run('workers-on-requests.mjs')
  t.is(code, 0, output)
  t.deepEqual(
    output.trim().split('\n'),
    Array.from({ length: 10 }, (_, i) => `${i} response to request ${i}`),
  )
})

test('S3: 100,000 transfers leave the sum as it was, at every moment', async (t) => {
  const { code, output } = await run('accounts.mjs', 4, 100_000)
  t.is(code, 0, output)
  const [, before, after] = /sum before (\d+), sum after (\d+)/.exec(output)
  t.is(after, before)
  const [, moved, audits] = /, (\d+) done; (\d+) audits/.exec(output)
  t.true(Number(moved) > 0 && Number(audits) > 0, output)
})

test('S4: two processes count exactly in transactions, and lose updates without them', async (t) => {
  const { code, output } = await run('counters.mjs')
  t.is(code, 0, output)
  t.regex(output, /with transactions: +\{ count: 40000, counter: 40000, sum: 800020000 \}/)
  const [, counter] = /without transactions: \{ count: \d+, counter: (\d+)/.exec(output)
  t.true(Number(counter) < 40_000)
})

test('S5: 300 numbers from three producers, each once and in order', async (t) => {
  const { code, output } = await run('producers-consumers.mjs')
  t.is(code, 0, output)
  t.is(output, "300 numbers, each once, each producer's in order\n")
})

test('S5: a million mixed messages from four producers to four consumers, each exactly once', async (t) => {
  t.timeout(300_000)
  const { code, output } = await run('producers-consumers.mjs', 4, 4, 250_000)
  t.is(code, 0, output)
  t.is(output, "1000000 messages of 4 kinds, each exactly once, each producer's in order\n")
})

test('S12: processes that are killed at random take nothing with them', async (t) => {
  const { code, output } = await run('death.mjs', '--kills', 40)
  t.is(code, 0, output)
  const [, deaths] = /^(\d+) deaths;/.exec(output)
  // 40 one after the other, and those who were left
  t.true(Number(deaths) > 40 && Number(deaths) <= 48, output)
  t.regex(output, /the sum is 20000; 200 messages passed on in transactions are there, each once/)
  t.regex(output, /no fault found, nothing left/)
})

test('S7: the sender sees every change that the receiver makes to the message', async (t) => {
  const { code, output } = await run('sender-receiver.mjs')
  t.is(code, 0, output)
  for (const part of [
    'Shared Message {',
    'flag: true,',
    'int: 42,',
    "string: 'as it is now',",
    "map: SharedMap(2) { 'key1' => 2, 'key2' => Shared [ 1970-01-01T00:00:00.000Z ] },",
    "frozen: [ 'key', 2, 3 ],",
    'bytes: Int32Array(3) [ 1, -2, 3 ],',
    'company: Shared Company {',
    'id: 8n,',
    "emails: Shared [ 'info@example.org', 'jobs@example.org' ],",
    "sites: SharedSet(2) { 'Berlin', 'Lyon' },",
    'income: Shared { y2023: 10.5, y2024: 11.25 },',
    "Shared Employee { name: 'Ada', salary: 66000 },",
    "Shared Employee { name: 'Grace', salary: 108000 }",
    'metrics: Shared Metrics { visits: 4, load: 0.5 }',
  ]) {
    t.true(output.includes(part), `${part} in\n${output}`)
  }
  t.regex(output, /Ada has 5500 a month, Grace 9000\n$/)
})

for (const players of [2, 4]) {
  test(`S6: ${players} processes take 1,000 turns each with one token`, async (t) => {
    const { code, output } = await run('turns.mjs', players, 1000)
    t.is(code, 0, output)
    t.regex(
      output,
      new RegExp(`^${players * 1000} turns of ${players} processes: Shared \\[\n  'hello',\n  ${players * 2e6},`),
    )
    t.regex(output, /Shared \[ 8, 2, false \],\n  SharedMap\(2\) \{ 'world' => -6, 5 => 4 \}/)
  })
}

test('S6: two processes take turns by transactions that wait for their turn', async (t) => {
  const { code, output } = await run('turns.mjs', 2, 1000, 'retry')
  t.is(code, 0, output)
  t.regex(output, /^2000 turns of 2 processes: Shared \[\n  'hello',\n  4000000,/)
})

test('S8: 7,000 messages of seven shapes are equal and in order; what is by value leaves nothing', async (t) => {
  const { code, output } = await run('seven-shapes.mjs')
  t.is(code, 0, output)
  t.is(output, '7000 messages of 7 shapes, all equal, in order\n3000 more of 3 shapes by value: 0 bytes more in use\n')
})

test('S9: processes compute in one memory, libraries over the same bytes too', async (t) => {
  const { code, output } = await run('arrays-in-place.mjs', 4)
  t.is(code, 0, output)
  t.deepEqual(output.trim().split('\n'), [
    // 270 × 37.5 − 30 × 15
    '10 × 10 × 3: 30 on the diagonal, the sum is 9675',
    '256 × 256: the product of 4 processes is the plain one, bit for bit',
    'Arrow: apple 3, pear 4.5, fig 8',
    'tensor: the sum is 15.5',
  ])
})

test('the demo adds up real flights, and every number equals the plain pass', async (t) => {
  const { code, output } = await run('flights/main.mjs', '--rows', 150_000)
  t.is(code, 0, output)
  t.regex(output, /every number equals the single-process pass over 150,000 rows/)
})

test('the demo stopped with Ctrl-C leaves nothing behind in shared memory', async (t) => {
  const before = new Set(Heap.list().map((info) => info.name))
  const path = fileURLToPath(new URL('../examples/flights/main.mjs', import.meta.url))
  const child = spawn(process.execPath, [path], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text))
  while (!output.includes('airports')) await Promise.race([once(child.stdout, 'data'), once(child, 'exit')])
  // as a terminal does: to the whole group at once
  process.kill(-child.pid, 'SIGINT')
  await once(child, 'close')
  const created = /heap (\S+)/.exec(output)
  t.truthy(created, output)
  t.false(
    Heap.list().some((info) => info.name === created[1] && !before.has(info.name)),
    output,
  )
})
