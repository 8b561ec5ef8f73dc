// How a row says what it measures: its unit, and the bar that Coheap has to reach.

/** Shows a rate (operations, bytes a second) in a unit. */
export const UNITS = {
  'M/s': (rate) => rate / 1e6,
  'k/s': (rate) => rate / 1e3,
  'GiB/s': (rate) => rate / 2 ** 30,
  µs: (rate) => 1e6 / rate,
  ms: (rate) => 1e3 / rate,
}

/** A bar of so many operations a second. */
export const atLeast = (rate, unit = 'M/s') => ({ text: `${UNITS[unit](rate)} ${unit}`, rate, holds: ({ coheap }) => coheap >= rate })

/** A bar of at most so many seconds for an operation. */
export const atMost = (seconds, unit) => ({ text: `≤ ${UNITS[unit](1 / seconds)} ${unit}`, rate: 1 / seconds, holds: ({ coheap }) => 1 / coheap <= seconds })

/** A bar of so many times a peer's rate in the same run. */
export const times = (factor, peer, text) => ({
  text,
  holds: (rates) => (rates[peer] === undefined ? undefined : rates.coheap >= factor * rates[peer]),
})

/** A bar of so many times the rate of Coheap in another row of the same run. */
export const timesRow = (factor, other, text) => ({
  text,
  holds: ({ coheap }, rowOf) => {
    const rate = rowOf(other)?.rates.coheap
    return rate === undefined ? undefined : coheap >= factor * rate
  },
})

/** Roles of the processes of a row. */
export const workers = (n) => Array.from({ length: n }, () => 'worker')
export const pairs = (n) => [...Array.from({ length: n }, () => 'producer'), ...Array.from({ length: n }, () => 'consumer')]
