import swagger from '@fastify/swagger'
import fastify from 'fastify'
import Type from 'typebox'
import { afterAll, beforeEach, expect, test } from 'vitest'
import { checkAnswers } from './answer-checks.ts'

const violations: string[] = []
const end = checkAnswers((violation) => violations.push(violation))
afterAll(end)
beforeEach(() => void violations.splice(0))

const Thing = Type.Object({
  id: Type.String(),
  labels: Type.Optional(Type.Record(Type.String(), Type.String())),
})

/** A server that answers `GET /things/1` with this. */
async function answer(body: unknown, status = 200): Promise<string[]> {
  const app = fastify()
  await app.register(swagger, { openapi: { openapi: '3.1.0' } })
  app.get('/things/:id', { schema: { response: { 200: Thing, 204: Type.Null() } } }, (_request, reply) =>
    reply.code(status as 200).send(body as never),
  )
  await app.inject('/things/1')
  await app.close()
  return violations
}

test('an answer that is as the document says passes, with any key where keys are free', async () => {
  expect(await answer({ id: '1', labels: { any: 'x' } })).toEqual([])
  expect(await answer(null, 204)).toEqual([])
})

test('a field that the document does not name is a violation, although it would not be sent', async () => {
  expect(await answer({ id: '1', secret: true })).toEqual([
    'GET /things/{id} 200: / must NOT have additional properties {"additionalProperty":"secret"}',
  ])
})

test('so is text that was serialised by hand', async () => {
  const app = fastify()
  await app.register(swagger, { openapi: { openapi: '3.1.0' } })
  app.get('/things', { schema: { response: { 200: Thing } } }, (_request, reply) =>
    reply.type('application/json; charset=utf-8').send('{"id":1}' as never),
  )
  await app.inject('/things')
  await app.close()
  expect(violations).toEqual(['GET /things 200: /id must be string {"type":"string"}'])
})

test('so is a status that the document does not have, and a body that is missing', async () => {
  expect(await answer({ id: '1' }, 202)).toEqual([
    'GET /things/{id} 202: the document does not have this status',
    'GET /things/{id} 202: the document does not have this status',
  ])
  violations.splice(0)
  expect(await answer(undefined)).toEqual(['GET /things/{id} 200: the body is missing'])
})
