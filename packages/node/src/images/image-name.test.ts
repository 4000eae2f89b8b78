import { expect, test } from 'vitest'
import { isBaseImage, parseImageName } from './image-name.ts'

const digest = `sha256:${'a'.repeat(64)}`

test.each([
  ['ubuntu', 'docker.io/library/ubuntu:latest'],
  ['ubuntu:22.04', 'docker.io/library/ubuntu:22.04'],
  ['e2bdev/base', 'docker.io/e2bdev/base:latest'],
  ['docker.io/library/node:24-slim', 'docker.io/library/node:24-slim'],
  ['index.docker.io/x/y', 'docker.io/x/y:latest'],
  ['ghcr.io/a/b/c:v1', 'ghcr.io/a/b/c:v1'],
  ['localhost:5000/x', 'localhost:5000/x:latest'],
  ['127.0.0.1:5000/team/x:y', '127.0.0.1:5000/team/x:y'],
  [`ubuntu@${digest}`, `docker.io/library/ubuntu@${digest}`],
  [`ghcr.io/a/b:v1@${digest}`, `ghcr.io/a/b@${digest}`],
])('%s is %s', (text, full) => {
  expect(parseImageName(text).full).toBe(full)
})

test.each(['', 'UPPER/x', 'a b', 'x:', '../x', '-x', 'x/y:z:w', '--help', 'http://x/y', `x@sha256:1`])(
  '%j is not a name',
  (text) => {
    expect(() => parseImageName(text)).toThrow('is not the name of an image')
  },
)

test('a password before the registry is not repeated', () => {
  expect(() => parseImageName(`me:secret@ghcr.io/${'x'.repeat(300)}`)).toThrow("'…@ghcr.io/")
  expect(() => parseImageName(`me:${'secret'.repeat(50)}@ghcr.io/x`)).not.toThrow('secret')
})

test('images of E2B are replaced by our base image', () => {
  expect(isBaseImage(parseImageName('e2bdev/base'))).toBe(true)
  expect(isBaseImage(parseImageName('e2bdev/code-interpreter:latest'))).toBe(true)
  expect(isBaseImage(parseImageName('ghcr.io/e2bdev/base'))).toBe(false)
})
