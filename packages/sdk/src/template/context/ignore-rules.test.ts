import picomatch from 'picomatch'
import { expect, test } from 'vitest'
import { ignoreRules, readIgnoreFile } from './ignore-rules.ts'

const ignored = (patterns: string[], paths: string[]) =>
  paths.filter((path) => ignoreRules({ picomatch }, patterns).isIgnored(path))

test('a directory is left out with its content', () => {
  const paths = ['node_modules', 'node_modules/a/b.js', 'src/node_modules/c.js', 'node_modules.txt']
  expect(ignored(['node_modules'], paths)).toEqual(['node_modules', 'node_modules/a/b.js'])
  expect(ignored(['/node_modules/'], paths)).toEqual(['node_modules', 'node_modules/a/b.js'])
  expect(ignored(['**/node_modules'], paths)).toEqual(paths.slice(0, 3))
})

test('patterns start at the context directory', () => {
  expect(ignored(['*.md'], ['a.md', 'docs/b.md', '.c.md'])).toEqual(['a.md', '.c.md'])
  expect(ignored(['./a.md', '../x'], ['a.md', 'x'])).toEqual(['a.md'])
})

test('the last pattern that matches decides', () => {
  expect(ignored(['*.md', '!README.md'], ['a.md', 'README.md'])).toEqual(['a.md'])
  expect(ignored(['!README.md', '*.md'], ['a.md', 'README.md'])).toEqual(['a.md', 'README.md'])
  expect(ignored(['dist', '!dist/keep'], ['dist/a', 'dist/keep', 'dist/keep/b'])).toEqual(['dist/a'])
})

test('an ignored directory is read only if there are exceptions', () => {
  expect(ignoreRules({ picomatch }, ['dist']).canPrune).toBe(true)
  expect(ignoreRules({ picomatch }, ['dist', '!dist/keep']).canPrune).toBe(false)
})

test('comments, blank lines and surrounding blanks of the file are ignored', () => {
  expect(readIgnoreFile('\uFEFF# c\r\n\n  *.md \r\n!a.md\n')).toEqual(['*.md', '!a.md'])
})
