import { describe, expect, it } from 'vitest'
import { formatAge, formatDuration } from './age.ts'
import { isColoured } from './colour.ts'
import { formatLogLine, readLogLine } from './log-line.ts'
import { formatBytes } from './size.ts'
import { displayWidth, formatTable } from './table.ts'

describe('formatTable', () => {
  const columns = [
    { title: 'ID', value: (row: string[]) => row[0]! },
    { title: 'NAME', value: (row: string[]) => row[1]! },
    { title: 'END', value: (row: string[]) => row[2]! },
  ]

  it('is as wide as its widest cells, wide characters counted as two', () => {
    expect(
      formatTable(
        [
          ['a', '世界', '1'],
          ['bbb', 'x', '2'],
        ],
        columns,
      ),
    ).toBe('ID    NAME   END\na     世界   1\nbbb   x      2')
  })

  it('keeps each row in one line, and removes escape sequences', () => {
    expect(formatTable([['a\nb', '\u001b[31mred\u001b[0m\u0007', '']], columns).split('\n')[1]).toBe(
      'a b   red',
    )
  })
})

it('displayWidth counts cells', () => {
  expect([displayWidth('abc'), displayWidth('grüße'), displayWidth('世界'), displayWidth('👩‍💻')]).toEqual([
    3, 5, 4, 2,
  ])
})

it('formatAge uses the largest whole unit, and is never negative', () => {
  const ages = [-5_000, 999, 59_999, 60_000, 3_599_000, 7_200_000, 86_400_000 * 400]
  expect(ages.map(formatAge)).toEqual(['0 s', '0 s', '59 s', '1 min', '59 min', '2 h', '400 d'])
})

it('formatDuration is exact', () => {
  expect([0, 90, 5_400, 129_600, 604_800].map(formatDuration)).toEqual([
    '0 s',
    '90 s',
    '90 min',
    '36 h',
    '7 d',
  ])
})

it('formatBytes counts in powers of 1024', () => {
  expect([0, 1, 1023, 1024, 1.5 * 2 ** 20, 2 ** 50].map(formatBytes)).toEqual([
    '0 B',
    '1 B',
    '1023 B',
    '1.0 KiB',
    '1.5 MiB',
    '1024.0 TiB',
  ])
})

describe('log lines', () => {
  const timestamp = '2026-01-02T03:04:05.678Z'
  const read = (line: string) => readLogLine({ timestamp, line })

  it('that are JSON documents give level, logger and fields', () => {
    const line = read('{"level":"warn","logger":"envd","msg":"disk is full","free":0}')
    expect(line).toMatchObject({ level: 'warn', logger: 'envd', fields: { msg: 'disk is full', free: 0 } })
    expect(formatLogLine(line, 'pretty')).toBe(
      '[2026-01-02 03:04:05.678Z] WARN  disk is full logger=envd free=0',
    )
    expect(JSON.parse(formatLogLine(line, 'json'))).toEqual({
      timestamp,
      level: 'warn',
      logger: 'envd',
      msg: 'disk is full',
      free: 0,
    })
  })

  it('that are not JSON documents are the message', () => {
    for (const text of ['plain', '42', '[1]', 'null', '{"broken":']) {
      expect(formatLogLine(read(text), 'pretty')).toBe(`[2026-01-02 03:04:05.678Z] INFO  ${text}`)
    }
  })

  it('lose their escape sequences', () => {
    expect(formatLogLine(read('{"msg":"\\u001b]0;title\\u0007x"}'), 'pretty')).toMatch(/INFO {2}x$/)
  })
})

it('colours are used on terminals only, and not with NO_COLOR or TERM=dumb', () => {
  const terminal = { isTTY: true }
  expect([isColoured(terminal, {}), isColoured({}, {}), isColoured({}, { FORCE_COLOR: '1' })]).toEqual([
    true,
    false,
    true,
  ])
  expect([isColoured(terminal, { NO_COLOR: '1' }), isColoured(terminal, { TERM: 'dumb' })]).toEqual([
    false,
    false,
  ])
})
