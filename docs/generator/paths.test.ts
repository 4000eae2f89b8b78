import { globSync } from 'node:fs'
import { expect, test } from 'vitest'
import { missingFilesIn, missingPathsIn, pagesWithPaths } from './paths.ts'

test.each(pagesWithPaths())('every path and link in %s leads somewhere', (page) => {
  expect(missingPathsIn(page)).toEqual([])
})

test('the pages that are looked through include the README, the documentation and the decisions', () => {
  const pages = pagesWithPaths()
  expect(pages).toEqual(expect.arrayContaining(['README.md', 'CONTRIBUTING.md', 'docs/README.md']))
  expect(pages.some((page) => page.startsWith('docs/adr/'))).toBe(true)
})

test.each(globSync('packages/*/README.md'))('%s names files that exist', (page) => {
  expect(missingFilesIn(page)).toEqual([])
})
