import { describe, expect, it } from 'vitest'
import type { EdgeRequest } from './message.ts'
import { createRouter, type Door, hostName } from './route.ts'

const route = createRouter('sandlot.localhost:3000')
const ask = (host: string, headers: Record<string, string> = {}, url = '/', door?: Door) =>
  route({ method: 'GET', url, headers: { host, ...headers } } as unknown as EdgeRequest, door)
const ids = { 'e2b-sandbox-id': 'iabc', 'e2b-sandbox-port': '8080' }
const target = { sandboxId: 'iabc', port: 8080 }

describe('a request is for a sandbox', () => {
  it.each([
    'sandbox.sandlot.localhost:3000',
    'sandbox.sandlot.localhost',
    'Sandbox.Sandlot.localhost.',
    'sandbox.localhost:3000',
    'sandbox.e2b.app',
  ])('when its headers name one on %s', (host) =>
    expect(ask(host, ids)).toEqual({ kind: 'sandbox', target, isShared: true }),
  )

  it.each(['8080-iabc.sandlot.localhost:3000', '8080-IABC.Sandlot.localhost', '8080-iabc.example.com'])(
    'when the left-most label of %s names one, regardless of the headers',
    (host) => {
      const own = { kind: 'sandbox', target, isShared: false }
      expect(ask(host)).toEqual(own)
      expect(ask(host, { ...ids, 'e2b-sandbox-id': 'iother' })).toEqual(own)
      expect(ask(host, ids, '/', 'sandboxes')).toEqual(own)
    },
  )

  it('when it is named as clients up to 1.5 do', () => {
    const named = { ...target, calledName: 'iabc-6532622b' }
    expect(ask('8080-iabc-6532622b.sandlot.localhost')).toMatchObject({ target: named, isShared: false })
    const headers = { ...ids, 'e2b-sandbox-id': 'iabc-6532622b' }
    expect(ask('sandbox.localhost', headers)).toMatchObject({ target: named, isShared: true })
  })

  it('when it is a signed files URL at the shared host without ids', () => {
    const askShared = (url: string, headers = {}) => ask('sandbox.sandlot.localhost:3000', headers, url)
    expect(askShared('/files?path=a&signature=v1_x')).toMatchObject({ kind: 'signed' })
    expect(askShared('/files?path=a')).toEqual({ kind: 'invalid', text: 'Invalid host' })
    expect(askShared('/files?path=a&signature=v1_x', ids)).toEqual({
      kind: 'sandbox',
      target,
      isShared: true,
    })
  })

  it.each([
    'localhost:3001',
    '10.1.2.3:3001',
    '[::1]:3001',
    'sandlot.localhost',
    'api.sandlot.localhost',
    'x',
    '',
  ])('at any host, even %j, when it arrives by the door for sandboxes', (host) => {
    const by = (headers: Record<string, string>, url = '/') => ask(host, headers, url, 'sandboxes')
    expect(by(ids)).toEqual({ kind: 'sandbox', target, isShared: true })
    expect(by({}, '/files?path=a&signature=v1_x')).toMatchObject({ kind: 'signed' })
    expect(by({}, '/docs/sign-in')).toEqual({ kind: 'invalid', text: 'Invalid host' })
  })
})

describe('a request is for the API', () => {
  it.each([
    'sandlot.localhost:3000',
    'api.sandlot.localhost:3000',
    'localhost:3000',
    '127.0.0.1',
    '[::1]:3000',
    '',
    'my-server',
    'sandlot.svc',
    'sandlot.localhost.',
  ])('on host %j, regardless of headers and path', (host) => {
    expect(ask(host)).toEqual({ kind: 'api' })
    expect(ask(host, ids)).toEqual({ kind: 'api' })
    expect(ask(host, { 'e2b-sandbox-id': 'iabc' })).toEqual({ kind: 'api' })
    expect(ask(host, ids, '/files?path=a&signature=v1_x')).toEqual({ kind: 'api' })
  })

  it.each(['sandbox.example.com', 'api.sandbox.example.com'])(
    'on host %s, when that is the domain of the API',
    (host) => {
      const request = { method: 'GET', url: '/', headers: { host, ...ids } } as unknown as EdgeRequest
      expect(createRouter('sandbox.example.com')(request)).toEqual({ kind: 'api' })
    },
  )
})

describe('a request is refused', () => {
  it('when one of the two headers is missing', () => {
    const half = { kind: 'invalid', text: 'missing header' }
    expect(ask('sandbox.sandlot.localhost', { 'e2b-sandbox-id': 'iabc' })).toEqual(half)
    expect(ask('sandbox.sandlot.localhost', { 'e2b-sandbox-port': '1' })).toEqual(half)
  })

  it.each([
    ['sandbox.sandlot.localhost', 'Invalid host'],
    ['x.sandlot.localhost', 'Invalid host'],
    ['0-iabc.sandlot.localhost', 'Invalid host'],
    ['65536-iabc.sandlot.localhost', 'Invalid host'],
    ['8080-i_bc.sandlot.localhost', 'Invalid sandbox ID'],
    ['8080-.sandlot.localhost', 'Invalid sandbox ID'],
  ])('for host %s: %s', (host, text) => expect(ask(host)).toEqual({ kind: 'invalid', text }))

  it.each([
    [{ ...ids, 'e2b-sandbox-id': '../x' }, 'Invalid sandbox ID'],
    [{ ...ids, 'e2b-sandbox-id': '' }, 'Invalid sandbox ID'],
    [{ ...ids, 'e2b-sandbox-port': '0' }, 'Invalid sandbox port'],
    [{ ...ids, 'e2b-sandbox-port': '1e3' }, 'Invalid sandbox port'],
    [{ ...ids, 'e2b-sandbox-port': '70000' }, 'Invalid sandbox port'],
  ])('for headers %j: %s', (headers, text) =>
    expect(ask('sandbox.sandlot.localhost', headers)).toEqual({ kind: 'invalid', text }),
  )
})

it('reads host names with and without ports and brackets', () => {
  expect(hostName('Example.COM:80')).toBe('example.com')
  expect(hostName('example.com.:80')).toBe('example.com')
  expect(hostName('[::1]:80')).toBe('::1')
  expect(hostName('[::1')).toBe('[')
})
