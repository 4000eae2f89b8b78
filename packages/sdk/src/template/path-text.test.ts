import { expect, test } from 'vitest'
import { pathText, sourcePath } from './path-text.ts'

test('URLs and buffers are paths too', () => {
  expect(pathText(new URL('file:///a%20b/c'))).toBe('/a b/c')
  expect(pathText(Buffer.from('/ä'))).toBe('/ä')
})

test.each(['/x', 'C:\\x', 'c:/x', '\\\\server\\x'])('%s is absolute and refused', (path) => {
  expect(() => sourcePath(path)).toThrow('absolute paths are not allowed')
})

test.each(['..', '../x', 'a/../../x', './..', 'a\\..\\..'])(
  '%s leaves the context directory and is refused',
  (path) => {
    expect(() => sourcePath(path)).toThrow('escapes the context directory')
  },
)

test.each(['.', 'a/..', './a', '..a', 'a/../b', '...', '**/*.ts'])(
  '%s stays inside the context directory',
  (path) => {
    expect(sourcePath(path)).toBe(path)
  },
)
