import type { DirectoryEntry } from '@sandlot/protocol/directory'
import { describe, expect, it } from 'vitest'
import type { EdgeRequest } from './message.ts'
import { findSigner, parseSignedFileUrl, signFileUrl } from './signed-url.ts'

// The vector of wire spec 4.3.
const token = '0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0'
const vector = { path: 'hello.txt', operation: 'read', username: 'user' } as const
const signature = 'v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E'

const entry = (sandboxId: string, envdAccessToken?: string, state: DirectoryEntry['state'] = 'running') =>
  ({ sandboxId, state, address: '127.0.0.1', envdAccessToken }) satisfies DirectoryEntry
const parse = (url: string, method = 'GET', headers = {}) =>
  parseSignedFileUrl({ url, method, headers } as unknown as EdgeRequest)

describe('a signed files URL', () => {
  it('has the signature of the vector', () => {
    expect(signFileUrl(vector, token)).toBe(signature)
  })

  it('belongs to the running sandbox whose token made it', () => {
    const all = [entry('a', 'other'), entry('b'), entry('c', token)]
    expect(findSigner({ ...vector, signature }, all)?.sandboxId).toBe('c')
    expect(findSigner({ ...vector, signature }, [entry('c', token, 'paused')])).toBeUndefined()
  })

  it('matches no sandbox when path, user, operation or expiration differ', () => {
    const all = [entry('c', token)]
    for (const change of [
      { path: 'x' },
      { username: '' },
      { operation: 'write' as const },
      { expiration: '1' },
    ]) {
      expect(findSigner({ ...vector, signature, ...change }, all)).toBeUndefined()
    }
  })

  it('includes the expiration when it has one', () => {
    const url = { ...vector, expiration: '1900000000' }
    const signed = { ...url, signature: signFileUrl(url, token) }
    expect(findSigner(signed, [entry('c', token)])?.sandboxId).toBe('c')
  })

  it.each(['', 'v1_', 'v2_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E', 'v1_AAAA', `v1_${'A'.repeat(9999)}`])(
    'with signature %j matches no sandbox',
    (bad) => expect(findSigner({ ...vector, signature: bad }, [entry('c', token)])).toBeUndefined(),
  )

  it('with an expiration that is not a number starts no search, which would hash it with each token', () => {
    const url = { ...vector, expiration: '9'.repeat(15_000) }
    const signed = { ...url, signature: signFileUrl(url, token) }
    expect(findSigner(signed, [entry('c', token)])).toBeUndefined()
  })

  it('is read from the query, including a bare +', () => {
    expect(parse('/files?path=a%20b+c&username=u&signature=v1_a+b%2Fc&signature_expiration=5')).toEqual({
      path: 'a b c',
      username: 'u',
      operation: 'read',
      signature: 'v1_a+b/c',
      expiration: '5',
    })
  })

  it('is for reading with GET and HEAD, and for writing with POST and its preflight', () => {
    const url = '/files?signature=v1_x'
    const preflight = { 'access-control-request-method': 'POST' }
    expect(parse(url, 'GET')?.operation).toBe('read')
    expect(parse(url, 'HEAD')?.operation).toBe('read')
    expect(parse(url, 'POST')?.operation).toBe('write')
    expect(parse(url, 'OPTIONS', preflight)?.operation).toBe('write')
  })
})
