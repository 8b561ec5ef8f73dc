/**
 * Coheap: one heap of live JavaScript objects, shared by many Node.js processes and worker threads.
 * @packageDocumentation
 */
export { Heap } from './heap.js'
export type { HeapInfo, HeapOptions, HeapStats, ParticipantInfo, Violation } from './heap.js'
export { Channel } from './channel.js'
export type { ChannelOptions } from './channel.js'
export { Transaction, retry } from './transaction.js'
export type { TransactionOptions } from './transaction.js'
export { SharedMap } from './map.js'
export { SharedSet } from './set.js'
export type { SetLike } from './set.js'
export { isShared } from './target.js'
export { snapshot } from './snapshot.js'
export type { Plain } from './snapshot.js'
export type { Shared } from './types.js'
export type { Wait } from './waiting.js'
export type { Size } from './sizes.js'
export type { TypedArray } from './view-kinds.js'
export { CoheapError, CoheapRangeError, CoheapTypeError } from './errors.js'
export type { ErrorCode } from './errors.js'
