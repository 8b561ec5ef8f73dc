// Plots as SVG: Vega-Lite draws them, without a browser.
import { writeFileSync } from 'node:fs'
import { View, parse } from 'vega'
import { compile } from 'vega-lite'

const draw = async (spec, file) => {
  const { spec: vega } = compile({ $schema: 'https://vega.github.io/schema/vega-lite/v6.json', background: 'white', ...spec })
  writeFileSync(file, await new View(parse(vega), { renderer: 'none' }).toSVG())
}

/** All rows: a dot for each peer, a line for the bar. Messages of 1 MiB count as messages. */
export async function drawRows(figures, libs, file) {
  const rate = (figure, x) => (figure.unit === 'GiB/s' ? x / 2 ** 20 : x)
  const dots = figures.flatMap((figure) =>
    Object.entries(figure.rates)
      .filter(([, x]) => x > 0)
      .map(([peer, x]) => ({ group: figure.group, row: figure.row, peer, rate: rate(figure, x) })),
  )
  const bars = figures.filter((figure) => figure.barRate !== undefined).map((figure) => ({ row: figure.row, rate: rate(figure, figure.barRate) }))
  if (dots.length === 0) return
  const y = { field: 'row', type: 'nominal', sort: figures.map((figure) => figure.row), title: null, axis: { labelLimit: 320, grid: true } }
  const x = { field: 'rate', type: 'quantitative', scale: { type: 'log' }, title: 'operations a second (a line: the bar)', axis: { format: '~s', tickCount: 10 } }
  const peers = Object.keys(libs).filter((name) => dots.some((dot) => dot.peer === name))
  await draw(
    {
      title: 'Coheap beside its peers',
      width: 640,
      height: { step: 18 },
      layer: [
        { data: { values: bars }, mark: { type: 'tick', color: 'black', thickness: 2, size: 16 }, encoding: { x, y } },
        {
          data: { values: dots },
          mark: { type: 'point', filled: true, opacity: 0.9 },
          encoding: {
            x,
            y,
            color: { field: 'peer', type: 'nominal', sort: peers, scale: { domain: peers, scheme: 'tableau20' }, title: null },
            shape: { field: 'peer', type: 'nominal', sort: peers, scale: { domain: peers }, title: null },
            size: { condition: { test: "datum.peer === 'coheap'", value: 130 }, value: 50 },
          },
        },
      ],
    },
    file,
  )
}

/** Curves: `points` are { what, n, ns }. */
export const drawCurves = (title, along, points, file) =>
  draw(
    {
      title,
      width: 560,
      height: 320,
      data: { values: points },
      mark: { type: 'line', point: true },
      encoding: {
        x: { field: 'n', type: 'quantitative', scale: { type: 'log' }, title: along, axis: { format: '~s' } },
        y: { field: 'ns', type: 'quantitative', scale: { type: 'log' }, title: 'ns for one operation, all processes together' },
        color: { field: 'what', type: 'nominal', title: null, legend: { labelLimit: 320 } },
      },
    },
    file,
  )
