// Raw memory: no objects, no atomicity but that of one word, no growth.
import shm from 'shm-typed-array'

export const about = 'shm-typed-array: one typed array over System V shared memory'
export const make = (options) => {
  const store = { memory: shm.create(options?.bytes ?? 1 << 20, 'Buffer') }
  if (store.memory === null) throw new Error('no shared memory')
  return store
}
export const shared = (store) => store.memory.key
export const join = (key) => ({ memory: shm.get(key, 'Buffer') })
export const leave = () => shm.detachAll()
export const unmake = (store) => shm.destroy(store.memory.key)
/** The memory as an array of this class. */
export const view = (store, Type) => new Type(store.memory.buffer, store.memory.byteOffset, store.memory.byteLength / Type.BYTES_PER_ELEMENT)
