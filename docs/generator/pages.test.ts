import { relative } from 'node:path'
import { expect, test } from 'vitest'
import { generatedPages, REGENERATE, readCommitted } from './pages.ts'

test('the generated pages of the documentation say what the programs say now', async () => {
  const outdated = (await generatedPages()).filter(({ path, text }) => readCommitted(path) !== text)
  const names = outdated.map(({ path }) => relative(process.cwd(), path))
  expect(names, `out of date: run \`${REGENERATE}\` and commit what it writes`).toEqual([])
})
