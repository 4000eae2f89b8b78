import { expect, test } from 'vitest'
import { isApiCredential, isOwnCookie } from './credentials.ts'
import { newAccessToken, newApiKey, newMachineToken } from './ids.ts'

const jwt = (payload: object): string =>
  ['{"alg":"HS256"}', JSON.stringify(payload), 'x']
    .map((part) => Buffer.from(part).toString('base64url'))
    .join('.')

test.each(['sandlot-session', 'sandlot-form', '__Host-sandlot-session', '__host-Sandlot-Form'])(
  'cookie %s belongs to the server',
  (name) => expect(isOwnCookie(name)).toBe(true),
)

test.each(['session', 'sandlot', 'my-sandlot-session', 'sandlot-session2', '__Host-session'])(
  'cookie %s belongs to an application',
  (name) => expect(isOwnCookie(name)).toBe(false),
)

test('keys, access tokens and JWTs of this server are credentials, with and without Bearer', () => {
  for (const value of [newApiKey(), newMachineToken(), jwt({ iss: 'sandlot', aud: 'sandlot-api' })])
    for (const text of [value, `Bearer ${value}`, `bearer  ${value} `])
      expect(isApiCredential(text)).toBe(true)
})

test.each([
  '',
  'Bearer',
  newAccessToken(),
  'Bearer secret-of-an-application',
  `Bearer ${jwt({ iss: 'https://accounts.example.com', aud: 'sandlot-api' })}`,
  'Bearer eyJ.eyJ.x',
  'Basic dXNlcjo=',
  `${newApiKey()}0`,
])('%j is not a credential', (value) => expect(isApiCredential(value)).toBe(false))
