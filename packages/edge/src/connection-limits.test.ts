import { addressKey } from '@sandlot/protocol'
import { describe, expect, it } from 'vitest'
import { ConnectionLimits } from './connection-limits.ts'

describe('connections are counted', () => {
  it.each([
    ['192.0.2.7', '192.0.2.7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['127.3.2.1', 'loopback'],
    ['::ffff:127.0.0.1', 'loopback'],
    ['::1', 'loopback'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8::6', '2001:db8:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['2001:0DB8::', '2001:db8:0:0'],
  ])('of %s under %s', (address, key) => expect(addressKey(address)).toBe(key))

  it('up to the limit of an address, and closed connections free their places', () => {
    const limits = new ConnectionLimits({ maxConnectionsPerAddress: 2 })
    const first = limits.take('192.0.2.1') as () => void
    limits.take('::ffff:192.0.2.1')
    expect(limits.take('192.0.2.1')).toEqual({ of: 'address', limit: 2 })
    expect(limits.take('192.0.2.2')).toBeTypeOf('function')
    first()
    expect(limits.take('192.0.2.1')).toBeTypeOf('function')
  })

  it('up to the limit of the server, which is the only limit of loopback addresses', () => {
    const limits = new ConnectionLimits({ maxConnections: 3, maxConnectionsPerAddress: 1 })
    for (const address of ['127.0.0.1', '::1', '192.0.2.1'])
      expect(limits.take(address)).toBeTypeOf('function')
    expect(limits.take('127.0.0.1')).toEqual({ of: 'server', limit: 3 })
  })
})
