// Three million flights: the Parquet file that ships in the npm package vega-datasets, read column by column.
import { fileURLToPath } from 'node:url'
import { asyncBufferFromFile, parquetMetadataAsync, parquetRead } from 'hyparquet'
import { compressors } from 'hyparquet-compressors'

const path = fileURLToPath(new URL('../data/flights-3m.parquet', import.meta.resolve('vega-datasets')))

/** A flight counts as late when it is more than so many minutes behind its plan. */
export const LATE = 15
export const TOTAL_ROWS = 3_000_000

/** Gives batches { origin: string[], delay: number[] } of at most `size` flights, `rows` in all. */
export async function* batches(size, rows) {
  const file = await asyncBufferFromFile(path)
  const metadata = await parquetMetadataAsync(file)
  let start = 0
  for (const group of metadata.row_groups) {
    const end = Math.min(start + Number(group.num_rows), rows)
    if (end <= start) return
    const columns = {}
    await parquetRead({
      file,
      metadata,
      compressors,
      columns: ['origin', 'delay'],
      rowStart: start,
      rowEnd: end,
      onChunk: ({ columnName, columnData, rowStart }) => {
        const column = (columns[columnName] ??= [])
        for (let i = 0; i < columnData.length; i++) {
          const row = rowStart + i
          if (row >= start && row < end) column[row - start] = columnData[i]
        }
      },
    })
    const { origin } = columns
    const delay = columns.delay.map(Number)
    for (let at = 0; at < origin.length; at += size) {
      yield { origin: origin.slice(at, at + size), delay: delay.slice(at, at + size) }
    }
    start = end
  }
}

/** Adds one flight to the totals by origin, a Map of { flights, delay, late }. */
export function count(totals, origin, delay) {
  let t = totals.get(origin)
  if (t === undefined) totals.set(origin, (t = { flights: 0, delay: 0, late: 0 }))
  t.flights++
  t.delay += delay
  if (delay > LATE) t.late++
}

/** The reference: one process, one pass, plain objects. */
export async function singlePass(rows) {
  const totals = new Map()
  for await (const { origin, delay } of batches(10_000, rows)) {
    for (let i = 0; i < origin.length; i++) count(totals, origin[i], delay[i])
  }
  return totals
}
