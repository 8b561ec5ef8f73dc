// The places that are written and read, by number: the first key of each object, and each list.

export const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l']

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
  counters: 92,
}
