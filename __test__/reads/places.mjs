// The places that are written and read, by number: the first key of each object, and each list.

export const KEYS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l']

export const PLACES = {
  numbers: 0,
  texts: 12,
  mixed: 24,
  shapes: 36,
  list: 50,
  mixedList: 51,
  children: 60,
  counters: 80,
}
