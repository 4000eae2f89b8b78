import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, expect, test } from 'vitest'

const directory = mkdtempSync(join(tmpdir(), 'sandlot-violations-'))
afterAll(() => rmSync(directory, { recursive: true }))

/** A server whose answer has a field that its document does not name. */
const PROGRAM = `
  import swagger from '@fastify/swagger'
  import fastify from 'fastify'
  const app = fastify()
  await app.register(swagger, { openapi: { openapi: '3.1.0' } })
  const answer = { type: 'object', properties: { id: { type: 'string' } } }
  app.get('/things/:id', { schema: { response: { 200: answer } } }, async () => ({ id: '1', vanished: true }))
  await app.inject('/things/1')
  await app.close()
`

test('a server that is started with the checks writes down what is wrong with its answers', async () => {
  const file = join(directory, 'violations')
  const preload = new URL('./record-violations.ts', import.meta.url).href
  await promisify(execFile)(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', '--import', preload, '--input-type=module', '--eval', PROGRAM],
    { env: { ...process.env, ANSWER_VIOLATIONS: file }, timeout: 15_000 },
  )
  expect(readFileSync(file, 'utf8')).toBe(
    'GET /things/{id} 200: / must NOT have additional properties {"additionalProperty":"vanished"}\n',
  )
})
