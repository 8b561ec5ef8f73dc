/** Sizes and ages for people. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB']

/** `4 MiB`, `1.5 GiB`, `80 B`. */
export function size(bytes: number): string {
  let unit = 0
  while (bytes >= 1024 && unit < UNITS.length - 1) {
    bytes /= 1024
    unit++
  }
  return `${Number(bytes.toFixed(1))} ${UNITS[unit] ?? ''}`
}

/** The time since a date: `12 s`, `5 min`, `3 h`, `40 d`. */
export function ago(date: Date): string {
  const seconds = Math.max(0, Math.floor((Date.now() - Number(date)) / 1000))
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`
  return `${Math.floor(seconds / 86400)} d`
}
