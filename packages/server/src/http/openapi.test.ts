import { readFileSync } from 'node:fs'
import { errorTable } from '@sandlot/protocol'
import { expect, test } from 'vitest'
import { describeApi } from './describe.ts'

const document = await describeApi()
const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ name: `${method} ${path}`, ...operation })),
)

test("the document in the repository matches the server's (npm run generate)", () => {
  const stored = new URL('../../../protocol/openapi.json', import.meta.url)
  expect(JSON.parse(readFileSync(stored, 'utf8'))).toEqual(document)
})

test('every operation has a unique id, a summary, and named bodies', () => {
  const ids = operations.map(({ operationId }) => operationId)
  expect(new Set(ids).size).toBe(ids.length)
  for (const { name, summary, tags, requestBody } of operations) {
    expect([name, tags?.length, /^[A-Z].*[^.]$/.test(String(summary))]).toEqual([name, 1, true])
    for (const { schema } of Object.values(requestBody?.content ?? {}))
      expect([name, Object.keys(schema)]).toEqual([name, ['$ref']])
  }
})

test('every operation lists its errors, and every error has a remedy', () => {
  for (const { name, tags, responses } of operations) {
    const errors = Object.keys(responses).filter((status) => /^[45]/.test(status))
    expect([name, tags?.[0] === 'npm' || errors.length > 3]).toEqual([name, true])
  }
  for (const { status, remedy } of Object.values(errorTable))
    expect(document.components.responses[status]?.description).toContain(remedy)
})

/** Objects with content of the sender's choice. */
const FREE_FORM = ['/components/schemas/Mcp/anyOf/0']

test('no object is free-form where its shape is known', () => {
  const found: string[] = []
  const visit = (value: unknown, path: string): void => {
    if (typeof value !== 'object' || value === null) return
    const schema = value as Record<string, unknown>
    const isFree = schema.type === 'object' && !schema.properties
    if (schema.additionalProperties === true || (isFree && !schema.additionalProperties)) found.push(path)
    for (const [key, inner] of Object.entries(schema)) visit(inner, `${path}/${key}`)
  }
  visit(document.components.schemas, '/components/schemas')
  expect(found).toEqual(FREE_FORM)
})
