import { describe, expect, it } from 'vitest'
import { edgeAddress, isLocal } from './edge-address.ts'

const sandbox = {
  sandboxId: 'iabc',
  trafficAccessToken: undefined as string | undefined,
  getHost: (port: number) => `${port}-iabc.sbx.example.com`,
}

describe('edgeAddress', () => {
  it('names sandbox and port in the host when each sandbox has its own host', () => {
    const { base, headers } = edgeAddress(sandbox, 80, undefined)
    expect(base.href).toBe('https://80-iabc.sbx.example.com/')
    expect(headers).toEqual({})
  })

  it('names sandbox and port in headers when one URL serves all', () => {
    const { base, headers } = edgeAddress(sandbox, 80, 'http://localhost:3000')
    expect(base.href).toBe('http://localhost:3000/')
    expect(headers).toEqual({ 'e2b-sandbox-id': 'iabc', 'e2b-sandbox-port': '80' })
  })

  it('sends the token of a sandbox whose ports are not public', () => {
    const { headers } = edgeAddress({ ...sandbox, trafficAccessToken: 'secret' }, 80, undefined)
    expect(headers).toEqual({ 'e2b-traffic-access-token': 'secret' })
  })
})

it('isLocal accepts loopback addresses and localhost, with and without a port', () => {
  expect(
    ['localhost', 'localhost:80', '127.0.0.1:1', '[::1]:80', '10.0.0.1'].filter((it) => !isLocal(it)),
  ).toEqual([])
  expect(['example.com', 'localhost.example.com', 'app:80'].filter(isLocal)).toEqual([])
})
