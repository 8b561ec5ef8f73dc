// The runner of test262 judges rightly: a few tests of our own, of every outcome, in the place of a checkout.
import test from 'ava'
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const here = (path) => fileURLToPath(new URL(path, import.meta.url))

/** Runs `npm run conformance` on the small checkout. */
function conformance(...args) {
  const command = [here('conformance/main.mjs'), '--test262', here('fixtures/test262'), '--jobs', '1', ...args]
  return new Promise((resolve) => {
    execFile(process.execPath, command, (error, output) => resolve({ code: error === null ? 0 : error.code, output }))
  })
}

test('an unexplained failure is named and fails the run; the others are counted with their reasons', async (t) => {
  const { code, output } = await conformance()
  t.is(code, 1)
  t.deepEqual(output.split('\n').filter((line) => line.startsWith('not ok')).length, 1)
  t.regex(output, /^not ok built-ins\/Array\/fails\.js \(sloppy\): Test262Error: prototype/m)
  t.regex(output, /3 of 4 tests pass on live containers/)
  t.regex(output, /1 {2}an accessor property is refused/)
  t.regex(output, /1 {2}no container in it\n/)
  t.regex(output, /1 {2}Node v\S+ itself does not pass it/)
})

test('without a failure the run passes; with nothing to run it does not', async (t) => {
  const { code, output } = await conformance('--only', 'passes')
  t.is(code, 0)
  t.regex(output, /3 of 3 tests pass on live containers/)
  t.is((await conformance('--only', 'no such test')).code, 1)
  t.regex((await conformance('--every', '1000')).output, /│ all +│ +1 │/)
})
