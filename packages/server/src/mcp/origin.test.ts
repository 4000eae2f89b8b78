import { expect, test } from 'vitest'
import { checkOrigin } from './origin.ts'

const DOMAIN = 'sandlot.example:3000'

test.each([
  undefined,
  'http://localhost:6274',
  'http://127.0.0.1',
  'http://[::1]:8080',
  'https://sandlot.example:3000',
  'https://api.sandlot.example',
])('%s may use the endpoint', (origin) => {
  expect(() => checkOrigin(origin, DOMAIN)).not.toThrow()
})

test.each([
  'null',
  '',
  'https://evil.example',
  'https://8080-iabc.sandlot.example:3000',
  'https://sandlot.example.evil.example',
  'http://localhost.evil.example',
  'http://sandbox.sandlot.example:3000',
])('a page of %j may not', (origin) => {
  expect(() => checkOrigin(origin, DOMAIN)).toThrow('may not use this endpoint')
})
