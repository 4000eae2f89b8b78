import { describe, expect, it } from 'vitest'
import type { EdgeRequest } from './message.ts'
import { createRouter, hostName } from './route.ts'

const route = createRouter('sandlot.localhost:3000')
const ask = (host: string, headers: Record<string, string> = {}, url = '/') =>
  route({ method: 'GET', url, headers: { host, ...headers } } as unknown as EdgeRequest)
const ids = { 'e2b-sandbox-id': 'iabc', 'e2b-sandbox-port': '8080' }
const target = { sandboxId: 'iabc', port: 8080 }

describe('a request is for a sandbox', () => {
  it.each([
    'localhost',
    'localhost:3000',
    '127.0.0.1:3000',
    '[::1]:3000',
    '10.1.2.3',
    'sandbox.sandlot.localhost',
    'sandbox.e2b.app',
  ])('when its headers say so on %s', (host) => expect(ask(host, ids)).toEqual({ kind: 'sandbox', target }))

  it.each([
    '8080-iabc.sandlot.localhost:3000',
    '8080-IABC.Sandlot.localhost',
    '8080-iabc-x.sandlot.localhost',
    '8080-iabc.example.com',
  ])('when the left-most label of %s says so, whatever the headers', (host) => {
    expect(ask(host)).toEqual({ kind: 'sandbox', target })
    expect(ask(host, { ...ids, 'e2b-sandbox-id': 'iother' })).toEqual({ kind: 'sandbox', target })
  })

  it('when it is a signed files URL on localhost or an IP without ids', () => {
    expect(ask('localhost:3000', {}, '/files?path=a&signature=v1_x')).toMatchObject({ kind: 'signed' })
    expect(ask('localhost:3000', {}, '/files?path=a')).toEqual({ kind: 'api' })
    expect(ask('sandlot.localhost', {}, '/files?path=a&signature=v1_x')).toEqual({ kind: 'api' })
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
  ])('on host %j', (host) => expect(ask(host)).toEqual({ kind: 'api' }))
})

describe('a request is refused', () => {
  it('when one of the two headers is missing', () => {
    expect(ask('localhost', { 'e2b-sandbox-id': 'iabc' })).toEqual({
      kind: 'invalid',
      text: 'missing header',
    })
    expect(ask('localhost', { 'e2b-sandbox-port': '1' })).toEqual({ kind: 'invalid', text: 'missing header' })
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
    expect(ask('localhost', headers)).toEqual({ kind: 'invalid', text }),
  )
})

it('reads host names with and without ports and brackets', () => {
  expect(hostName('Example.COM:80')).toBe('example.com')
  expect(hostName('[::1]:80')).toBe('::1')
  expect(hostName('[::1')).toBe('[')
})
