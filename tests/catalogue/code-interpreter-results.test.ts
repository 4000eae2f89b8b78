import { describe, expect, test } from 'vitest'
import { sharedInterpreter } from './interpreter.ts'

const sandbox = sharedInterpreter()
const run = (code: string, opts = {}) => sandbox().runCode(code, opts)

describe('a dict or list as the last expression', () => {
  test.each([
    ['{"a": [1, 2.5, None, True]}', { a: [1, 2.5, null, true] }],
    ['[{"x": 1}, "é"]', [{ x: 1 }, 'é']],
    [
      '{1: np.int64(2), np.int8(3): np.bool_(True), None: np.nan, 1.5: np.array([[1, 2], [3, 4]])}',
      {
        '1': 2,
        '3': true,
        null: null,
        '1.5': [
          [1, 2],
          [3, 4],
        ],
      },
    ],
    [
      '{(1, 2): pd.Timestamp("2024-01-01"), datetime.date(2024, 1, 1): np.datetime64("2024-01-01T00:00:00.000000001")}',
      { '(1, 2)': '2024-01-01T00:00:00', '2024-01-01': '2024-01-01T00:00:00' },
    ],
    ['collections.Counter("aab")', { a: 2, b: 1 }],
    ['[pd.NaT, float("inf"), (1, 2)]', [null, null, [1, 2]]],
  ])('%s has json', async (value, json) => {
    const { results, error, text } = await run(
      `import collections, datetime, numpy as np, pandas as pd\n${value}`,
    )
    expect(error).toBeUndefined()
    expect(results[0]!.json).toEqual(json)
    expect(text).toBeDefined()
  })

  test.each(['itself', 'object()', 'len', 'b"x"'])('holding %s has text only', async (value) => {
    const { results, logs } = await run(`itself = []\nitself.append(${value})\nitself`)
    expect(results[0]!.json).toBeUndefined()
    expect(results[0]!.text).toMatch(/^\[.*\]$/s)
    expect(logs.stderr).toEqual([])
  })

  test('is printed completely, however long', async () => {
    const { text, results } = await run('list(range(5000))')
    expect(text!.replaceAll(/\s/g, '')).toBe(JSON.stringify(Array.from({ length: 5000 }, (_, i) => i)))
    expect(results[0]!.json).toHaveLength(5000)
    expect((await run('tuple(range(1500)), {i for i in range(1500)}')).text).toContain('1499')
  })
})

test('a data frame has its values as JSON represents them, dates in ISO 8601', async () => {
  const { results, error } = await run(
    `import datetime, numpy as np, pandas as pd
pd.DataFrame({
  "time": pd.to_datetime(["2024-01-01", None]), "zone": pd.to_datetime(["2024-01-01", None]).tz_localize("UTC"),
  "day": [datetime.date(2024, 1, 1), None], "month": pd.period_range("2024-01", periods=2, freq="M"),
  "nullable": pd.array([1, None], dtype="Int64"), "held": [np.array([1, 2]), {"a": np.int8(1)}],
  datetime.date(2024, 1, 1): [1, 2]})`,
  )
  expect(error).toBeUndefined()
  expect(results[0]!.data).toEqual({
    time: ['2024-01-01T00:00:00', null],
    zone: ['2024-01-01T00:00:00+00:00', null],
    day: ['2024-01-01', null],
    month: ['2024-01', '2024-02'],
    nullable: [1, null],
    held: [[1, 2], { a: 1 }],
    '2024-01-01': [1, 2],
  })
})

describe('a picture of Pillow', () => {
  const made = 'from PIL import Image\nimage = Image.new("RGB", (3, 2), "red")\n'

  test('is a result when it is saved to a file', async () => {
    const { results } = await run(`${made}image.save("/tmp/p.jpg")`)
    expect(results.map((result) => Buffer.from(result.png!, 'base64').toString('latin1', 1, 4))).toEqual([
      'PNG',
    ])
    expect((await run(`${made}import pathlib\nimage.save(pathlib.Path("/tmp/p.png"))`)).results).toHaveLength(
      1,
    )
  })

  test('is not a result when it is saved to memory, or cannot be saved', async () => {
    expect((await run(`${made}import io\nimage.save(io.BytesIO(), "png")`)).results).toEqual([])
    const failed = await run(`${made}image.save("/nowhere/p.png")`)
    expect(failed).toMatchObject({ results: [], error: { name: 'FileNotFoundError' } })
  })

  test('is not shown by show', async () => {
    const shown = await run(`${made}image.show()`)
    expect(shown).toMatchObject({ results: [], logs: { stdout: [], stderr: [] }, error: undefined })
  })

  test('is a result in another context too, where another package imports Pillow', async () => {
    const context = await sandbox().createCodeContext({ language: 'python' })
    await run('import skimage.io', { context })
    expect((await run(`${made}image.save("/tmp/p.png")`, { context })).results).toHaveLength(1)
    await sandbox().removeCodeContext(context)
  })
})

describe('a figure', () => {
  test.each([
    'plt.savefig("/tmp/f.png"); plt.show()',
    'plt.savefig("/tmp/f.jpg"); plt.show()',
    'plt.savefig("/tmp/f.pdf"); plt.show()',
    'plt.savefig("/tmp/f.png")',
  ])('with %s is one picture, with its chart', async (code) => {
    const { results } = await run(`import matplotlib.pyplot as plt\nplt.plot([1, 2])\n${code}`)
    expect(results).toHaveLength(1)
    expect(results[0]).toMatchObject({ png: expect.any(String), chart: { type: 'line' } })
  })
})

describe('text that is not valid Unicode, and control sequences', () => {
  test.each([
    ['print("a\\ud800b")', 'a\ufffdb\n'],
    ['print("a\\udc80b")', 'a\ufffdb\n'],
    ['print("a\\u2028b\\x85c\\x1b[31md")', 'a\u2028b\x85c\x1b[31md\n'],
    ['import os; os.write(1, b"a\\xffb\\xed\\xa0\\x80"); None', expect.stringMatching(/^a\ufffdb/)],
  ])('%s is output', async (code, expected) => {
    const { logs, error } = await run(code)
    expect(error).toBeUndefined()
    expect(logs.stderr).toEqual([])
    expect(logs.stdout.join('')).toEqual(expected)
  })

  test.each([
    ['raise ValueError("bad \\ud800 \\x1b[31mred\\x1b[0m")', 'ValueError', 'bad \ufffd \x1b[31mred\x1b[0m'],
    ['class Odd(Exception):\n  def __str__(self): return "\\udfff"\nraise Odd', 'Odd', '\ufffd'],
  ])('%s is an error', async (code, name, value) => {
    const { error } = await run(code)
    expect(error).toMatchObject({ name, value })
    expect(error!.traceback).toContain(name)
    expect(error!.traceback).not.toContain('\x1b')
    expect((await run('1 + 1')).text).toBe('2')
  })

  test('are results', async () => {
    const { results, error } = await run(
      'class Odd:\n  def __repr__(self): return "\\ud800"\n  def _repr_html_(self): return "<\\udfff>"\ndisplay(Odd())\n{"a": "\\ud800"}',
    )
    expect(error).toBeUndefined()
    expect(results[0]).toMatchObject({ text: '\ufffd', html: '<\ufffd>' })
    expect(results[1]!.json).toEqual({ a: '\ufffd' })
  })

  test.each([
    ['javascript', 'console.log("a\\ud800b\\u2028c")', 'a\ufffdb\u2028c\n'],
    ['bash', `printf 'a\\xffb\\e[31mc\\n'`, 'a\ufffdb\x1b[31mc\n'],
  ])('come from %s', async (language, code, expected) => {
    expect((await run(code, { language })).logs.stdout.join('')).toBe(expected)
  })
})
