/**
 * The contract between TypeScript and the native module: raw calls on small integers. Nothing here is public.
 *
 * **Status.** A hot call never throws for an expected outcome. It stores a {@link Status} in `state[0]` and gives
 * the value itself when that is `OK`. Other words of `state` and `nums` (two views of the same 256 bytes) tell more:
 *
 * | word | meaning |
 * | --- | --- |
 * | `state[0]` | {@link Status} |
 * | `state[1]` | OBJECT: handle · WIRE: bytes in staging · ERROR: the number of the code (1 = EXISTS … as `Code` in Rust) |
 * | `state[2]` | OBJECT: {@link Tag} |
 * | `state[3]` | OBJECT: low half of word 1 (records: the shape word) |
 * | `state[4]` | OBJECT, VIEW: viewKind |
 * | `state[5]` | OBJECT, VIEW: handle of its buffer |
 * | `nums[3]` | OBJECT: offset in the segment |
 * | `nums[4]` | VIEW: byteOffset · WIRE: offset of the by-value block it came from, or 0 |
 * | `nums[5]` | VIEW: length in elements · WIRE: version of that block (frozen values are cached by offset and version) |
 * | `nums[6]` | version of the container that was read, where a call says so |
 * | `nums[7]` | the last insertion number, in map iteration |
 *
 * **Values in.** A parameter `value` or `key` of type {@link Direct} takes a number, a string or a boolean as it
 * is. Anything else: pass `undefined` and put its wire into staging (`wireBytes` long; key first where both are
 * staged). **Values out.** With `OK` the returned JavaScript value; with `OBJECT` a live object that has no wrapper
 * in this thread yet: make one and {@link Port.adopt} it; with `WIRE` the value lies in staging in the wire format,
 * live members as handles to be looked up with {@link Port.wrapperOf}.
 *
 * **Numbers in the state.** An argument costs 5 to 10 ns to fetch and a number 15 to give back, so the hottest calls
 * find their numbers where {@link In} says, and with the status `NUMBER` their value is `nums[In.VALUE]`. A call that
 * takes numbers there lists them in its comment; all others leave these words alone.
 */

/** What a hot call says of itself in `state[0]`. */
export const Status = {
  OK: 0,
  OBJECT: 1,
  WIRE: 2,
  /** No such property, element or entry. */
  ABSENT: 3,
  /** The shape or version that was given is no longer the object's: look again. */
  STALE: 4,
  /** The ambient transaction has been aborted. */
  ABORTED: 5,
  ERROR: 6,
  /** A channel is full (put) or empty (take). */
  AGAIN: 7,
  /** A channel is closed. */
  CLOSED: 8,
  /** The value is a number: `nums[In.VALUE]`. */
  NUMBER: 9,
} as const

/** Where the hottest calls find their numbers. */
export const In = {
  /** `state`: a handle, or a channel's number. */
  HANDLE: 16,
  /** `state`: a shape word. */
  SHAPE: 17,
  /** `state`: a slot. */
  SLOT: 18,
  /** `state`: bytes in staging, where the value or key is staged; else 0. */
  WIRE: 19,
  /** `state`: flags of a transaction. */
  FLAGS: 20,
  /** `state`: milliseconds. */
  MAX_HOLD: 21,
  /** `state`: 1: say where the entry stands. In the answer, if that is OK or NUMBER: 1 if it was said. */
  PLACE: 23,
  /** `nums`, out: the offset of the entry's version word. */
  GUARD: 14,
  /** `nums`, out: the offset of the key's cell; the value's is the next. */
  KEY_AT: 15,
  /** `nums`, out: the offset of the map's body. */
  BODY: 16,
  /** `nums`, out: the map's word for its stripes. */
  STRIPES: 17,
  /** `nums`, out: the offset of the block that the key's cell refers to, or 0. */
  KEY_BLOCK: 18,
  /** `state`, out: the key's cell, two words. */
  KEY_CELL: 38,
  /** `state`, out: the low half of word 0 of the key's block. */
  KEY_WORD: 40,
  /**
   * `state`: not 0: a callback's transaction begins with the next call, whichever it is, which sets this to 0.
   * Its value is 8, or 9 for one that reserves its reads. A transaction that never makes a call costs nothing.
   */
  BEGIN: 22,
  /** `state`: the number of the staging buffer. Another one: there is a new buffer, to be asked for by {@link Port.staging}. */
  STAGING: 63,
  /** `nums`: a value, in or out. */
  VALUE: 12,
  /** `nums`: a transaction's id. */
  TX: 13,
} as const

/** The kind of a live object. */
export const Tag = { RECORD: 8, ARRAY: 9, MAP: 10, SET: 11, BUFFER: 12, VIEW: 13 } as const

/** A value that crosses as it is; `undefined` says: it is in staging. */
export type Direct = number | string | boolean | undefined

/** A heap as one thread sees it. */
export interface Port {
  /** 64 words of status, see the head of this file. */
  readonly state: Uint32Array
  /** The same bytes as 32 doubles. */
  readonly nums: Float64Array
  readonly name: string
  /** Tells this heap from every other one, also from another of the same name. */
  readonly identity: string
  /** This thread's participant id. */
  readonly participant: number

  /**
   * The staging buffer, of at least so many bytes; STAGING is its number. It may move with any call that gave
   * WIRE. An ordinary ArrayBuffer of V8's own: one that was replaced stays readable while TypeScript holds it.
   */
  staging(minBytes: number): ArrayBuffer
  /** The read-only window number `index` (each 2^32 - 65536 bytes of the segment but the last), as far as `end` at least. */
  window(index: number, end: number): ArrayBuffer
  /** Bytes of the segment that are allocated, as the system confirms; it only grows. */
  committed(): number
  /** The message that belongs to the last ERROR. */
  lastError(): string

  // wrappers
  /** Ties a wrapper (weakly) to a handle. The handle lives as long as the wrapper. */
  adopt(handle: number, wrapper: object): void
  /** The wrapper of a handle; OBJECT if it has none. */
  wrapperOf(handle: number): unknown
  /** The root record: OK or OBJECT. */
  root(): unknown

  // records; also the named properties of arrays. `symbol`: key is the key of Symbol.for
  get(h: number, key: string, symbol?: boolean): unknown
  /** HANDLE, SHAPE, SLOT. STALE as for {@link setSlot}. NUMBER. */
  getSlot(): unknown
  set(h: number, key: string, value: Direct, wireBytes: number, symbol?: boolean): void
  /** HANDLE, SHAPE, SLOT, WIRE. STALE if the object's shape word is another. SLOT: as told by {@link shapeInfo}. */
  setSlot(value: Direct): void
  /** HANDLE, SHAPE, SLOT, VALUE. As {@link setSlot}. */
  setSlotNumber(): void
  has(h: number, key: string, symbol?: boolean): boolean
  /** True if there was such a property. */
  delete(h: number, key: string, symbol?: boolean): boolean
  /** `state[3]` = shape word. OK: exactly the keys of its shape, in order, all present. WIRE: a u32 count and the keys (strings, symbols). */
  keys(h: number): void
  /** WIRE: u32 count, (key, value)*: one consistent view. */
  entries(h: number): void
  /** WIRE: u32 count, (key, slot, byte offset of the slot in the object or -1 when it is out of line)*, numbers with tag 6. */
  shapeInfo(shapeWord: number): void
  /** The shape word of an empty object, or of an instance without properties of the class of this name; -1: none yet, and not to be made. */
  rootShape(nullPrototype: boolean, className?: string, make?: boolean): number
  /** Of records with this shape word: `state[4]` = 1 if their prototype is null, `state[5]` = the number of their class, 0 none. */
  shapeClass(shapeWord: number): void
  /** The name of a class, by its number. */
  className(number: number): string
  /** The shape word after `key` is added; -1: none yet, and not to be made; 0: there will be none (say it with tag 11). */
  shapeChild(shapeWord: number, key: string, make: boolean): number

  // arrays
  length(h: number): number
  /** HANDLE, VALUE: the index; a negative one counts from the end, in the same operation. ABSENT: a hole or beyond the end. NUMBER. */
  at(): unknown
  /** HANDLE, SLOT: the index; WIRE. */
  put(value: Direct): void
  /** HANDLE, SLOT: the index; VALUE. */
  putNumber(): void
  hasIndex(h: number, index: number): boolean
  deleteIndex(h: number, index: number): boolean
  setLength(h: number, length: number): void
  /** HANDLE, WIRE. Gives the new length. */
  push(value: Direct): number
  /** Staging: u32 count, values. Gives the new length. */
  pushMany(h: number, wireBytes: number): number
  unshiftMany(h: number, wireBytes: number): number
  /** ABSENT: it was empty. */
  pop(h: number): unknown
  shift(h: number): unknown
  /** `start` (≥ 0) and `deleteCount` are clamped to the length. Staging in: u32 count, values. WIRE out: u32 count, the removed ones (holes as tag 4). */
  splice(h: number, start: number, deleteCount: number, wireBytes: number): void
  /** WIRE: u32 count, values (holes as tag 4); `nums[6]` = version. */
  range(h: number, start: number, count: number): void
  /** WIRE: u32 count, the present indices as f64: for arrays with holes and sparse ones. */
  indices(h: number): void
  /** Staging: `count` u32: new[i] = old[perm[i]], 0xffffffff a hole; length becomes count; every old index at most once. STALE unless the version is still this. */
  permute(h: number, version: number, count: number): void
  /** Staging: u32 count, values: they replace all elements. STALE unless the version is still this (pass -1: whatever it is). */
  replace(h: number, version: number, wireBytes: number): void

  // maps and sets
  size(h: number): number
  /** HANDLE, WIRE, PLACE. NUMBER. */
  mapGet(key: Direct): unknown
  /** HANDLE, WIRE. */
  mapHas(key: Direct): boolean
  /** HANDLE, WIRE. */
  mapSet(key: Direct, value: Direct): void
  /** The value that is there, or this one, put there. */
  mapGetOrInsert(h: number, key: Direct, value: Direct, wireBytes: number): unknown
  mapDelete(h: number, key: Direct, wireBytes: number): boolean
  mapClear(h: number): void
  /** HANDLE, WIRE. */
  setAdd(key: Direct): void
  /** WIRE: u32 count, (u64 insertion number, key, value)* (sets: without values), from the first with a number greater than `after` (start with 0); `nums[7]` = number of the last. */
  mapEntries(h: number, after: number, max: number): void

  // buffers
  /** A zeroed view of its own new buffer: OBJECT. */
  alloc(viewKind: number, length: number): void
  /** Marks an object as destroyed and frees what belongs to it alone. */
  destroy(h: number): void
  /** `nums[3]` = offset, `state[1]` = birth count. */
  refOf(h: number): void
  /** The object at an offset with this birth count: OK or OBJECT. */
  deref(at: number, birth: number): unknown
  /** The external ArrayBuffer of a BUFFER: the same as long as it lives. */
  arrayBuffer(h: number): ArrayBuffer

  // whole values
  /** Staging: one value. A live object: OBJECT; else the value. */
  share(wireBytes: number): unknown
  /** WIRE: a deep plain copy with tags 11 to 16. Consistent; consecutive with the ambient transaction. */
  snapshot(h: number): void
  /** Of so many objects, whose handles are in staging: WIRE with a count, one numbering for all values. */
  snapshotAll(count: number): void

  // transactions
  // An id is > 0; 0 is the callback's one that is running (see In.BEGIN), which is ambient until it ends.
  /** An explicit one. FLAGS (1 reserves its reads, 4 never waits for an older one: ABORTED at once), MAX_HOLD. Gives its id in TX. */
  txBegin(): void
  txEnter(tx: number): void
  txLeave(): void
  /** TX. OK, ABORTED, ERROR. After OK or ERROR it is gone. */
  txCommit(): void
  /**
   * After this, or a commit that gave ABORTED, a handle of an object made in the attempt answers every call with ERROR
   * (DESTROYED), and the ArrayBuffers of such buffers are detached or their blocks kept until the handle goes.
   */
  txAbort(tx: number): void
  /**
   * After ABORTED: begins again with its old age (a callback one is ambient at once). One that never waits: AGAIN, and
   * nothing has begun, while the elder that beat it is undecided and makes steps.
   */
  txRestart(tx: number): void
  /** retry(): aborts the attempt and sleeps until something that it read has changed, at most `ms`; true: changed. */
  txWaitSync(tx: number, ms: number): boolean
  /** The same off the event loop: wakes `token` (see onWake) when something has changed. */
  txWaitAsync(tx: number, token: number): void

  // channels
  /** capacity 0: unbounded. Undefined: no wish, what is there will do. Gives a channel number > 0. */
  channelOpen(name: string, capacity: number | undefined, lifo: boolean | undefined): number
  /** HANDLE: the channel; WIRE. OK (a scalar went in), or the live version: value or OBJECT; AGAIN: full; CLOSED. */
  channelPut(value: Direct): unknown
  /** HANDLE: the channel; VALUE. As {@link channelPut}. */
  channelPutNumber(): unknown
  /** HANDLE: the channel. NUMBER, a value, OBJECT or WIRE; AGAIN: empty; CLOSED: empty and closed. */
  channelTake(): unknown
  /** WIRE: u32 count, values. */
  channelTakeMany(c: number, max: number): void
  /** As {@link channelTake}. */
  channelPeek(c: number): unknown
  channelLength(c: number): number
  channelClose(c: number): void
  channelIsClosed(c: number): boolean
  /**
   * Staging: u32 count, values: copied in, and put as far as there is room: how many (a prefix, one run); AGAIN: none;
   * CLOSED. What is left: with `keep` a batch, whose number is VALUE; else it is given up.
   */
  channelPutMany(c: number, wireBytes: number, keep: boolean): number
  /** Staging: u32 count, values: copied in, put nowhere yet. Gives a batch number > 0. */
  batchBuild(wireBytes: number): number
  /** Puts what there is room for: how many (a prefix, one run); AGAIN: none; CLOSED. The batch is gone when empty. A single-value batch gives its live version in the manner of channelPut through {@link batchValue}. */
  batchPut(c: number, batch: number): number
  /** After a batch of one went in: its live version. */
  batchValue(): unknown
  batchDrop(batch: number): void
  /** Waits at most `ms` (≤ 100) until it may be worth trying again; role 0: taker, 1: putter. True: try again; false: time is up. */
  channelWaitSync(c: number, role: number, ms: number): boolean
  /** Wakes `token` when it may be worth trying again (at once if it already is). Once. */
  channelWaitAsync(c: number, role: number, token: number): void
  /** Forgets a token. */
  cancelWait(token: number): void
  /** The callback that gets woken tokens, on this thread's event loop. */
  onWake(callback: (token: number) => void): void
  /** Pending waits keep the event loop alive or not. */
  refLoop(on: boolean): void

  // deaths
  /**
   * The callback gets the JSON of each participant that dies from now on (as {@link participants}), on this thread's
   * event loop, which it does not keep alive. Does nothing while there is one already.
   */
  watchDeaths(callback: (info: string) => void): void
  /** No more of that; {@link close} does so too. */
  unwatchDeaths(): void

  // cold
  /** JSON of HeapStats. */
  stats(): string
  /** JSON of ParticipantInfo[] (since in ms). */
  participants(): string
  /** JSON of Violation[]. */
  verify(): string
  /** Counted opens are TypeScript's; this one leaves the heap. */
  close(): void
}

/** Options as the native side takes them: numbers checked and sizes resolved by TypeScript. */
export interface NativeOptions {
  size: number
  maxSize: number
  mode: number
  persist: boolean
  maxParticipants: number
  patience: number
  /** `worker_threads.threadId`, for people. */
  threadId: number
  dir: string | null
}

/** The native module. Its cold calls throw an Error whose message begins with the code: `ERR_COHEAP_NOT_FOUND: …`. */
export interface Native {
  /**
   * mode 0 create, 1 open, 2 open or create. Where this thread is attached already to the segment that the name leads
   * to (modes 1 and 2), the same Port object again.
   */
  attach(mode: number, name: string, options: NativeOptions): Port
  /** JSON of HeapInfo[] (createdAt in ms). */
  list(dir: string | null): string
  unlink(name: string, dir: string | null): boolean
  /** For a process 'exit' hook: leaves every heap of this process; the last one out removes it. */
  leaveAll(): void
}
