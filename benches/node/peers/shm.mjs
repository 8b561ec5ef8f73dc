// shm-typed-array: one typed array over System V shared memory. No objects, no atomicity, no growth: what raw memory costs.
import shm from 'shm-typed-array'
import { OBJECTS, random, timed } from '../cases.mjs'

/** Words of a record: as many as a struct of four fields has. */
const STRIDE = 4
let array

export default {
  setup() {
    array = shm.create(OBJECTS * STRIDE, 'Float64Array')
    if (array === null) throw new Error('no shared memory')
    for (let i = 0; i < OBJECTS; i++) array[i * STRIDE] = i
    return array.key
  },
  teardown: (key) => shm.destroy(key),
  leave: () => shm.detachAll(),
  cases: {
    'struct field read': ({ seconds, shared }) => {
      const cells = shm.get(shared, 'Float64Array')
      const pick = random(1)
      let sum = 0
      return () => {
        const result = timed(seconds, () => (sum += cells[pick(OBJECTS) * STRIDE]))
        if (!(sum > 0)) throw new Error('nothing was read')
        return result
      }
    },
    'struct field write': ({ seconds, shared }) => {
      const cells = shm.get(shared, 'Float64Array')
      const pick = random(1)
      return () => {
        const result = timed(seconds, (i) => (cells[pick(OBJECTS) * STRIDE] = i))
        cells[3 * STRIDE] = -5
        if (shm.get(shared, 'Float64Array')[3 * STRIDE] !== -5) throw new Error('nothing was written')
        return result
      }
    },
  },
}
