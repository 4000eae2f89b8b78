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

/** Lets a server answer `GET /things/1`. @returns the violations */
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

test('an answer that matches the document passes, with any key where keys are free', async () => {
  expect(await answer({ id: '1', labels: { any: 'x' } })).toEqual([])
  expect(await answer(null, 204)).toEqual([])
})

test('a field that the document lacks is a violation, although the serialiser would drop it', async () => {
  expect(await answer({ id: '1', secret: true })).toEqual([
    'GET /things/{id} 200: / must NOT have additional properties {"additionalProperty":"secret"}',
  ])
})

test('text that was serialised by hand is checked too', async () => {
  const app = fastify()
  await app.register(swagger, { openapi: { openapi: '3.1.0' } })
  app.get('/things', { schema: { response: { 200: Thing } } }, (_request, reply) =>
    reply.type('application/json; charset=utf-8').send('{"id":1}' as never),
  )
  await app.inject('/things')
  await app.close()
  expect(violations).toEqual(['GET /things 200: /id must be string {"type":"string"}'])
})

test('a status that the document lacks is a violation, and a missing body too', async () => {
  expect(await answer({ id: '1' }, 202)).toEqual([
    'GET /things/{id} 202: the document does not have this status',
    'GET /things/{id} 202: the document does not have this status',
  ])
  violations.splice(0)
  expect(await answer(undefined)).toEqual(['GET /things/{id} 200: the body is missing'])
})
