// Judges the tests that the parent names, one at a time.
import { readTest } from './checkout.mjs'
import { inapplicable, judge, modesOf } from './judge.mjs'

// a test may leave promises behind that nobody waits for
process.on('unhandledRejection', () => undefined)

process.on('message', async ({ root, path, quick }) => {
  let results
  try {
    results = await resultsOf(root, readTest(root, path), quick)
  } catch (error) {
    results = [{ outcome: 'failed', error: `the runner itself: ${error?.stack ?? error}` }]
  }
  process.send({ path, results })
})

async function resultsOf(root, test, quick) {
  const reason = inapplicable(test)
  if (reason !== undefined) return [{ outcome: 'inapplicable', reason }]
  const results = []
  for (const mode of modesOf(test).slice(0, quick ? 1 : 2)) {
    results.push({ mode, ...(await judge(root, test, mode, results[0]?.reason)) })
  }
  return results
}

process.send({ ready: true })
