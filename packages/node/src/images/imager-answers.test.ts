import { expect, test } from 'vitest'
import { explainFailure } from './explain-failure.ts'
import { parseImageName } from './image-name.ts'
import { type ImageRefusal, readFinished, readResolved } from './imager-answers.ts'

const digest = `sha256:${'a'.repeat(64)}`
const resolved = { digest, env: ['A=1'], layerCount: 1, sizeBytes: 2 }
const finished = { sizeBytes: 8192, skipped: 0 }

test('valid answers are parsed', () => {
  expect(readResolved(resolved)).toEqual(resolved)
  expect(readResolved({ ...resolved, env: null }).env).toEqual([])
  expect(readFinished(finished)).toEqual(finished)
})

test.each([
  null,
  'text',
  {},
  { ...resolved, digest: 'sha256:../../etc/shadow' },
  { ...resolved, digest: `${digest}\n` },
  { ...resolved, env: [1] },
  { ...resolved, env: Array(2000).fill('A=1') },
  { ...resolved, layerCount: -1 },
  { ...resolved, sizeBytes: 1e300 },
])('%j is not a valid answer to a resolve request', (answer) => {
  expect(() => readResolved(answer)).toThrow('an invalid answer')
})

test.each([{}, { ...finished, skipped: '0' }, { ...finished, sizeBytes: 0.5 }])(
  '%j is not a valid end of an image',
  (answer) => {
    expect(() => readFinished(answer)).toThrow('an invalid answer')
  },
)

test('a failure is reduced to one line of printable text', () => {
  const failure = { kind: 'format', detail: `layer 1\n\u001b[2J${'x'.repeat(1000)}` }
  try {
    readResolved({ failure })
    expect.unreachable()
  } catch (error) {
    expect((error as ImageRefusal).failure.detail).toMatch(/^layer 1\?\?\[2Jx{200,}$/)
    expect((error as ImageRefusal).failure.detail.length).toBeLessThanOrEqual(300)
  }
})

const name = parseImageName('registry.example/team/app:v1')
const say = (kind: string, detail = '', hasLogin = false) =>
  explainFailure(name, { kind, detail }, hasLogin).message

test('a failure is explained in terms of the request, not of the registry', () => {
  expect(say('missing')).toBe(
    "image 'registry.example/team/app:v1' was not found in registry 'registry.example'",
  )
  expect(say('denied')).toContain('gives image')
  expect(say('denied', '', true)).toContain('refused the credentials')
  expect(say('unreachable')).toContain('sandlot images map registry.example/team/app:v1 ./rootfs.tar')
  expect(say('private')).toContain('allowedRegistries')
  expect(say('answer', 'status 503')).toContain('answered with status 503')
  expect(say('answer', 'hunter2')).not.toContain('hunter2')
  expect(say('format', 'layer 2 …')).toContain('cannot be used: layer 2')
})
