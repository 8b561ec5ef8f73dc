// Figures as a table, each row beside its peers and its bar.
import Table from 'cli-table3'
import { UNITS } from './rows.mjs'

const digits = (x) => (x >= 100 ? x.toFixed(0) : x >= 10 ? x.toFixed(1) : x >= 1 ? x.toFixed(2) : x.toPrecision(2))
/** A rate in the unit of its row. */
export const shown = (rate, unit) => (rate === undefined ? '–' : rate === 0 ? 'never' : digits(UNITS[unit](rate)))

/** The fastest of the peers; what is only for reference is none. */
export function bestPeer(figure, libs) {
  const others = Object.entries(figure.rates).filter(([name]) => name !== 'coheap' && !libs[name]?.reference)
  return others.toSorted(([, a], [, b]) => b - a)[0]
}

/** Notes of a row as text. */
const noted = (notes) => Object.entries(notes).map(([what, value]) => `${what} ${value}`).join(', ')

/** The table of one group. */
export function table(title, figures, libs) {
  const names = Object.keys(libs).filter((name) => figures.some((figure) => figure.rates[name] !== undefined))
  const result = new Table({
    style: process.stdout.isTTY ? {} : { head: [], border: [] },
    head: [title, '', ...names, '÷ best peer', 'bar', 'reached'],
    colAligns: ['left', 'left', ...names.map(() => 'right'), 'right', 'left', 'left'],
  })
  for (const figure of figures) {
    result.push([
      figure.row,
      figure.unit,
      ...names.map((name) => shown(figure.rates[name], figure.unit)),
      figure.ratio === undefined ? '–' : `${digits(figure.ratio)} × ${figure.best}`,
      figure.bar ?? '–',
      figure.reached === undefined ? '–' : figure.reached ? 'yes' : 'NO',
    ])
  }
  const notes = figures.flatMap((figure) => Object.entries(figure.notes).map(([peer, values]) => `${figure.row}, ${peer}: ${noted(values)}`))
  return [result.toString(), ...notes].join('\n')
}
