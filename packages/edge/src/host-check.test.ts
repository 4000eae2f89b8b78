import { expect, it } from 'vitest'
import { hasAmbiguousHost } from './host-check.ts'
import type { EdgeRequest } from './message.ts'

const request = (url: string, ...rawHeaders: string[]): EdgeRequest => {
  const authority = rawHeaders[rawHeaders.indexOf(':authority') + 1]
  const headers = rawHeaders.includes(':authority') ? { ':authority': authority } : {}
  return { url, rawHeaders, headers } as unknown as EdgeRequest
}

it.each([
  ['two hosts', request('/', 'Host', 'a.test', 'HOST', 'a.test')],
  ['a host and a target with another host', request('http://b.test/x', 'Host', 'a.test')],
  ['a host and another authority', request('/', ':authority', 'a.test', 'host', 'b.test')],
  ['an empty host and an authority', request('/', ':authority', 'a.test', 'host', '')],
])('%s is ambiguous', (_, asked) => expect(hasAmbiguousHost(asked)).toBe(true))

it.each([
  ['no host, as HTTP/1.0 allows', request('/')],
  ['one host', request('/', 'Host', 'a.test', 'X-Host', 'b.test')],
  ['an absolute target of the same host', request('http://A.test:80/x', 'Host', 'a.test')],
  ['an asterisk', request('*', 'Host', 'a.test')],
  ['an authority alone', request('/', ':authority', 'a.test')],
  ['an authority and the same host', request('/', ':authority', 'a.test:443', 'host', 'A.test')],
])('%s is not', (_, asked) => expect(hasAmbiguousHost(asked)).toBe(false))
