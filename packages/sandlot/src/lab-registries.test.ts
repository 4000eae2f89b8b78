import { expect, test } from 'vitest'
import { labRegistries } from './lab-registries.ts'

const answers: Record<string, string[]> = {
  'registry.npmjs.org': ['203.0.113.80'],
  'pypi.org': ['203.0.113.80', '151.101.0.223'],
  'deb.debian.org': ['192.0.2.7', '10.0.0.5', '169.254.169.254', '127.0.0.1'],
}
const resolve = async (name: string) => {
  if (!answers[name]) throw new Error('ENOTFOUND')
  return answers[name]
}

test('only single documentation addresses are allowed, whatever the name server answers', async () => {
  expect(await labRegistries(['registry.npmjs.org', 'pypi.org', 'deb.debian.org', 'gone'], resolve)).toEqual([
    '192.0.2.7/32',
    '203.0.113.80/32',
  ])
})

test('nothing is allowed when registries resolve to public addresses', async () => {
  expect(await labRegistries(['pypi.org'], async () => ['151.101.0.223'])).toEqual([])
  expect(await labRegistries([], resolve)).toEqual([])
})
