// What all cases have in common: sizes, an order that no engine can know, clocks, checks.

/** Objects in the cases of properties and structs, accounts in the transfers. */
export const OBJECTS = 1000
/** Money in the bank at the start. */
export const MONEY = OBJECTS * 1000

/** Operations of a pass. */
export const PASS = 8192
/** Random numbers below `n`, one for each operation of a pass. From a table: to compute one costs as much as to read a field. */
export function order(n, seed = 1) {
  const next = random(seed)
  return Uint32Array.from({ length: PASS }, () => next(n))
}

/** A cheap generator of random numbers below n. */
export function random(seed) {
  let x = seed * 2654435761 + 1
  return (n) => {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    return (x >>> 0) % n
  }
}

/**
 * Runs `pass(from)`, which does n operations, for about so many seconds, after half as many that do not count: the
 * engine has compiled by then.
 * @returns operations and seconds
 */
export function timed(seconds, n, pass) {
  let ops = 0
  const until = (end) => {
    const start = performance.now()
    let now = start
    do {
      pass(ops)
      ops += n
      now = performance.now()
    } while (now - start < end * 1000)
    return (now - start) / 1000
  }
  until(seconds / 2)
  ops = 0
  const time = until(seconds)
  return { ops, seconds: time }
}

/** As {@link timed}; each pass has to give this sum. */
export function summed(seconds, n, expected, pass) {
  return timed(seconds, n, () => {
    const sum = pass()
    if (sum !== expected) throw wrong(`the sum is ${sum} instead of ${expected}`)
  })
}

/** As {@link timed}; `step(i)` gives a promise. */
export async function timedAsync(seconds, step) {
  for (let i = 0; i < 500; i++) await step(i)
  const start = performance.now()
  let ops = 0
  do {
    for (let k = 0; k < 100; k++) await step(ops++)
  } while (performance.now() - start < seconds * 1000)
  return { ops, seconds: (performance.now() - start) / 1000 }
}

/** The error for contents that are not what was written. */
export const wrong = (what) => new Error(`wrong contents: ${what}`)

/** Bytes of memory that are this process's alone. */
export async function ownMemory() {
  const { readFileSync } = await import('node:fs')
  return 1024 * Number(/RssAnon:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1])
}
