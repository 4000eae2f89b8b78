import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { authoritiesVersion } from './authorities.ts'

test('each file that is put there has a version of its own, and no file has none', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'authorities-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const file = join(folder, 'ca.pem')
  const put = async (content: string) => {
    await writeFile(`${file}.new`, content)
    await rename(`${file}.new`, file)
    return authoritiesVersion(file)
  }
  expect(await authoritiesVersion(file)).toBeUndefined()
  const first = await put('a')
  expect(first).toBeDefined()
  expect(await authoritiesVersion(file)).toBe(first)
  expect(await put('b')).not.toBe(first)
})
