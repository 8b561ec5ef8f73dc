import { Heap } from 'coheap'

export const about = 'the heap'
export const make = (options) => Heap.create(undefined, { size: '64MiB', ...options })
export const shared = (heap) => heap.name
export const join = (name) => Heap.open(name)
export const leave = (heap) => heap.close()
export const unmake = (heap) => heap.close()
