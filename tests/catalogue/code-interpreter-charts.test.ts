import { describe, expect, test } from 'vitest'
import { sharedInterpreter } from './interpreter.ts'

const sandbox = sharedInterpreter()

async function chartOf(code: string) {
  const { results, error } = await sandbox().runCode(`import matplotlib.pyplot as plt\n${code}\nplt.show()`)
  expect(error).toBeUndefined()
  expect(Buffer.from(results[0]!.png!, 'base64').toString('latin1', 1, 4)).toBe('PNG')
  return results[0]!.chart
}

describe('the chart of a matplotlib figure', () => {
  test('bars have their position as label and their series as group', async () => {
    const chart = await chartOf(
      'plt.figure(figsize=(10, 6))\nplt.bar(["Author A", "Author B"], [100, 200], label="Books Sold")\nplt.xlabel("Authors")\nplt.ylabel("Number of Books Sold")\nplt.title("Book Sales by Authors")\nplt.tight_layout()',
    )
    expect(chart).toEqual({
      type: 'bar',
      title: 'Book Sales by Authors',
      x_label: 'Authors',
      y_label: 'Number of Books Sold',
      x_unit: null,
      y_unit: null,
      elements: [
        { label: 'Author A', group: 'Books Sold', value: 100 },
        { label: 'Author B', group: 'Books Sold', value: 200 },
      ],
    })
  })

  test('grouped bars are named by the nearest tick', async () => {
    const chart = await chartOf(
      'plt.bar([-0.2, 0.8], [1, 2], 0.4, label="m")\nplt.bar([0.2, 1.2], [3, 4], 0.4, label="f")\nplt.xticks([0, 1], ["A", "B"])',
    )
    expect(chart?.elements).toEqual([
      { label: 'A', group: 'm', value: 1 },
      { label: 'B', group: 'm', value: 2 },
      { label: 'A', group: 'f', value: 3 },
      { label: 'B', group: 'f', value: 4 },
    ])
  })

  test('lines have points, ticks, scales and units', async () => {
    const chart = await chartOf(
      'import datetime\nplt.plot([datetime.date(2024, 1, 1), datetime.date(2024, 1, 2)], [1, 10], label="load")\nplt.yscale("log")\nplt.ylabel("Load (kW)")',
    )
    expect(chart).toMatchObject({
      type: 'line',
      x_scale: 'datetime',
      y_scale: 'log',
      y_label: 'Load (kW)',
      y_unit: 'kW',
      y_ticks: [1, 10],
      elements: [
        {
          label: 'load',
          points: [
            ['2024-01-01T00:00:00', 1],
            ['2024-01-02T00:00:00', 10],
          ],
        },
      ],
    })
  })

  test('a scatter plot has points', async () => {
    const chart = await chartOf('plt.scatter(["a", "b"], [3, 4], label="s")')
    expect(chart).toMatchObject({ type: 'scatter', x_scale: 'categorical', x_tick_labels: ['a', 'b'] })
    expect(chart?.elements).toEqual([
      {
        label: 's',
        points: [
          ['a', 3],
          ['b', 4],
        ],
      },
    ])
  })

  test('a pie has angles in degrees', async () => {
    const chart = await chartOf('plt.pie([1, 3], labels=["p", "q"], autopct="%1.1f%%")\nplt.title("P")')
    expect(chart).toEqual({
      type: 'pie',
      title: 'P',
      elements: [
        { label: 'p', angle: 90, radius: 1 },
        { label: 'q', angle: 270, radius: 1 },
      ],
    })
  })

  test.each(['', ', orientation="horizontal", patch_artist=True'])(
    'a box plot%s has its quartiles',
    async (options) => {
      const chart = await chartOf(
        `plt.boxplot([[1, 2, 3, 4, 20], [2, 3, 4, 5]], tick_labels=["u", "v"]${options})`,
      )
      expect(chart).toMatchObject({ type: 'box_and_whisker' })
      expect(chart?.elements).toEqual([
        { label: 'u', min: 1, first_quartile: 2, median: 3, third_quartile: 4, max: 4, outliers: [20] },
        { label: 'v', min: 2, first_quartile: 2.75, median: 3.5, third_quartile: 4.25, max: 5, outliers: [] },
      ])
    },
  )

  test('several axes are a superchart', async () => {
    const chart = await chartOf(
      'figure, axes = plt.subplots(1, 2)\naxes[0].plot([1], [2])\naxes[1].bar(["a"], [1])\nfigure.suptitle("Both")',
    )
    expect(chart).toMatchObject({
      type: 'superchart',
      title: 'Both',
      elements: [{ type: 'line' }, { type: 'bar' }],
    })
  })

  test('charts of pandas and seaborn have the same data', async () => {
    const pandas = await chartOf(
      'import pandas as pd\npd.DataFrame({"a": [1, 2]}, index=["k", "l"]).plot.bar()',
    )
    expect(pandas?.elements).toEqual([
      { label: 'k', group: 'a', value: 1 },
      { label: 'l', group: 'a', value: 2 },
    ])
    const seaborn = await chartOf('import seaborn as sns\nsns.boxplot(x=["a"] * 4, y=[1, 2, 3, 4])')
    expect(seaborn?.elements).toMatchObject([
      { label: 'a', first_quartile: 1.75, median: 2.5, third_quartile: 3.25 },
    ])
  })

  test('a picture in axes is a chart of unknown type', async () => {
    expect(await chartOf('plt.imshow([[1, 2], [3, 4]])\nplt.colorbar()')).toMatchObject({
      type: 'unknown',
      elements: [],
    })
  })
})
