import { expect, it } from 'vitest'
import { diffLines, printablePath } from './diff-lines.ts'

it('diffLines puts all paths in one order, each with its letter', () => {
  const diff = {
    from: 'c1',
    to: 'c2',
    added: ['/b', '/d'],
    changed: ['/a'],
    deleted: ['/c'],
    isTruncated: false,
  }
  expect(diffLines(diff).map(({ letter, path }) => `${letter} ${path}`)).toEqual([
    'M /a',
    'A /b',
    'D /c',
    'A /d',
  ])
})

it('printablePath keeps readable paths and quotes those with control characters', () => {
  expect(printablePath('/home/ü ä')).toBe('/home/ü ä')
  expect(printablePath('/a\nb\u001b[2J')).toBe('"/a\\nb\\u001b[2J"')
  expect(printablePath('/a\u009b2J\u007f')).toBe('"/a\\u009b2J\\u007f"')
})
