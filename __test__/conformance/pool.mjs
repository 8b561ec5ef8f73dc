// Processes that judge tests: one that dies or says nothing for too long fails the test that it had, and is replaced.
import { fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const worker = fileURLToPath(new URL('worker.mjs', import.meta.url))
/** The more realms a process has made, the longer it collects garbage: 40 tests take two thirds of the time that they take among 200. */
const TESTS_A_PROCESS = 40
const PATIENCE = 30 * 60_000

/** Judges all of them; `report` gets each test's results in the order of the paths. */
export async function judgeAll(root, paths, { jobs, quick }, report) {
  const results = new Array(paths.length)
  let next = 0
  let reported = 0
  const settle = (i, outcome) => {
    results[i] = outcome
    while (results[reported] !== undefined) report(paths[reported], results[reported++])
  }
  const lane = async () => {
    while (next < paths.length)
      await oneProcess({ root, quick }, paths, () => (next < paths.length ? next++ : -1), settle)
  }
  await Promise.all(Array.from({ length: jobs }, lane))
}

function oneProcess(order, paths, take, settle) {
  return new Promise((resolve) => {
    const child = fork(worker, {
      execArgv: ['--experimental-vm-modules', '--no-warnings'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    })
    let current = -1
    let left = TESTS_A_PROCESS
    let timer
    const give = () => {
      clearTimeout(timer)
      current = left-- > 0 ? take() : -1
      if (current < 0) return void child.disconnect()
      timer = setTimeout(() => child.kill('SIGKILL'), PATIENCE)
      child.send({ ...order, path: paths[current] })
    }
    child.on('message', (message) => {
      if (!message.ready) {
        settle(current, message.results)
        current = -1
      }
      give()
    })
    child.on('exit', (code, signal) => {
      clearTimeout(timer)
      if (current >= 0) settle(current, [{ outcome: 'failed', error: `the process ended: ${signal ?? code}` }])
      resolve()
    })
  })
}
