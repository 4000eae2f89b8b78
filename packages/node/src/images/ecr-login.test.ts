import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { passwordFor } from './ecr-login.ts'

/** Fakes the part of Amazon's API that is called: JSON 1.1, requests signed with AWS Signature Version 4. */
let ecr: Server
let asked: { headers: IncomingMessage['headers']; body: unknown }[]
const keys = { awsAccessKeyId: 'AKIAGOOD', awsSecretAccessKey: 'secret', awsRegion: 'eu-central-1' }

beforeEach(async () => {
  asked = []
  ecr = createServer(async (request, response) => {
    asked.push({ headers: request.headers, body: await json(request) })
    response.setHeader('content-type', 'application/x-amz-json-1.1')
    if (!request.headers.authorization?.includes('Credential=AKIAGOOD/')) {
      response.statusCode = 400
      const message = 'The security token included in the request is invalid.'
      return void response.end(JSON.stringify({ __type: 'UnrecognizedClientException', message }))
    }
    const authorizationToken = Buffer.from('AWS:pass:word').toString('base64')
    response.end(JSON.stringify({ authorizationData: [{ authorizationToken }] }))
  }).listen(0, '127.0.0.1')
  await once(ecr, 'listening')
  process.env.AWS_ENDPOINT_URL_ECR = `http://127.0.0.1:${(ecr.address() as AddressInfo).port}`
})
afterEach(() => {
  delete process.env.AWS_ENDPOINT_URL_ECR
  ecr.close()
})

test('keys of AWS are exchanged for name and password of ECR', async () => {
  expect(await passwordFor(keys)).toEqual({ username: 'AWS', password: 'pass:word' })
  expect(asked[0]!.headers['x-amz-target']).toMatch(/\.GetAuthorizationToken$/)
  expect(asked[0]!.headers.authorization).toMatch(
    /^AWS4-HMAC-SHA256 Credential=AKIAGOOD\/\d{8}\/eu-central-1\/ecr\//,
  )
})

test('rejected keys are reported with the message of AWS, without the secret', async () => {
  const refused = passwordFor({ ...keys, awsAccessKeyId: 'AKIABAD', awsSecretAccessKey: 'hidden-words' })
  await expect(refused).rejects.toThrow(
    "AWS ECR in region 'eu-central-1' gave no password for access key 'AKIA…': UnrecognizedClientException: The security token",
  )
  await expect(refused).rejects.not.toThrow('hidden-words')
})

test('name and password are returned unchanged', async () => {
  expect(await passwordFor({ username: 'me', password: 'a:b' })).toEqual({ username: 'me', password: 'a:b' })
})

test.each(['eu-central-1.evil.example/', 'x', '../..', 'eu-central-1@evil'])(
  '%j is not a region, and no host name is made of it',
  async (awsRegion) => {
    await expect(passwordFor({ ...keys, awsRegion })).rejects.toThrow('is not a region of AWS')
    expect(asked).toEqual([])
  },
)
