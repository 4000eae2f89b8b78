import { expect, test } from 'vitest'
import { CommandError } from '../run.ts'
import { explain } from './crane.ts'
import { parseImageName } from './image-name.ts'

const name = parseImageName('registry.example/team/app:v1')
const say = (stderr: string, hasLogin = false) =>
  explain(name, new CommandError('crane', 1, stderr, false), hasLogin).message

test('what a registry answers is said in words of the one who asked', () => {
  expect(say('MANIFEST_UNKNOWN: manifest unknown')).toBe(
    "image 'registry.example/team/app:v1' was not found in registry 'registry.example'",
  )
  expect(say('UNAUTHORIZED: authentication required')).toContain('gives image')
  expect(say('UNAUTHORIZED: authentication required', true)).toContain('refused the credentials')
  expect(say('dial tcp: lookup registry.example: no such host')).toContain(
    'sandlot images map registry.example/team/app:v1 ./rootfs.tar',
  )
  expect(say('something else')).toContain('something else')
})
