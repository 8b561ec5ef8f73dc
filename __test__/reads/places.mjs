// The places that are written and read, by number: the first key of each object, and each list.

import { struct } from '../../dist/index.js'

export const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l']

/** The keys of the map: some stand in their cell, some have a block. */
export const MAPPED = KEYS.map((key, i) => (i % 2 === 0 ? key : `a longer key ${key}`))

/** The most elements of the list whose elements each have a place of their own. */
export const MOST = 16

export const PLACES = {
  numbers: 0,
  texts: 12,
  mixed: 24,
  shapes: 36,
  list: 50,
  mixedList: 51,
  ordered: 60,
  children: 80,
  fixed: 92,
  counters: 110,
  mapped: 112,
}

/** A fixed layout: numbers in every other field, any value in the rest. */
export const Fixed = struct('Fixed', Object.fromEntries(KEYS.map((key, i) => [key, i % 2 === 0 ? 'f64' : 'any'])))
