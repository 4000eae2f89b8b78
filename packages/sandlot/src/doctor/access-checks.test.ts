import { describe, expect, test } from 'vitest'
import { loadConfig } from '../config.ts'
import { bucketTransport, homeAccess, listenAddress, userNamespaces } from './access-checks.ts'
import { hostWith } from './host-files.fixture.ts'

const config = (flags: Record<string, string>) => loadConfig({ flags, env: {} })

describe('the listen address', () => {
  test.each(['3000', 'localhost:3000', '127.0.0.1:3000', '[::1]:3000'])(
    '%s is reachable from this machine only',
    (listen) => {
      expect(listenAddress(config({ listen })).status).toBe('ok')
    },
  )
  test.each(['0.0.0.0:3000', '[::]:3000', '192.0.2.7:3000'])('%s is a warning', (listen) => {
    expect(listenAddress(config({ listen }))).toMatchObject({
      status: 'warning',
      detail: expect.stringContaining('plain HTTP'),
      mend: expect.stringContaining('TLS'),
    })
  })
})

test('an address for sandboxes only is checked as well', () => {
  const verdict = listenAddress(config({ listen: '3000', sandboxListen: '0.0.0.0:3001' }))
  expect(verdict).toMatchObject({ status: 'warning', detail: expect.stringContaining('0.0.0.0:3001') })
})

describe('the bucket', () => {
  const at = (checkpointEndpoint: string) => config({ checkpointBucket: 'sandboxes', checkpointEndpoint })

  test('plain HTTP over a network is a warning', () => {
    expect(bucketTransport(at('http://minio.example.com:9000'))).toMatchObject({
      status: 'warning',
      mend: expect.stringContaining('https://'),
    })
  })
  test.each(['https://minio.example.com', 'http://127.0.0.1:9000', ''])('%j is fine', (endpoint) => {
    expect(bucketTransport(at(endpoint)).status).toBe('ok')
  })
  test.each(['https', 'http'])('a password in its %s address is not shown', (scheme) => {
    const { detail } = bucketTransport(at(`${scheme}://me:secret@minio.example.com`))
    expect(detail).toContain(`${scheme}://…@minio.example.com`)
  })
  test('no bucket is fine', () => {
    expect(bucketTransport(config({})).status).toBe('ok')
  })
})

describe('the home', () => {
  const settings = { home: '/srv/sandlot' }
  const root = { '/': { mode: 0o755 }, '/srv': { mode: 0o755 } }

  test('that only root can enter is fine, and so is a home that does not exist yet', () => {
    const modes = { ...root, '/srv/sandlot': { mode: 0o700 }, '/srv/sandlot/db.sqlite': { mode: 0o644 } }
    expect(homeAccess({ settings }, hostWith({ modes })).status).toBe('ok')
    expect(homeAccess({ settings }, hostWith({ modes: root })).status).toBe('ok')
  })
  test('that other users can enter is a warning that names the secrets that they can read', () => {
    const modes = { ...root, '/srv/sandlot': { mode: 0o755 }, '/srv/sandlot/env': { mode: 0o644 } }
    expect(homeAccess({ settings }, hostWith({ modes }))).toMatchObject({
      status: 'warning',
      detail: 'others may look into /srv/sandlot, /srv/sandlot/env',
      mend: expect.stringContaining('chmod 700 /srv/sandlot'),
    })
  })
  test.each([
    ['writable by all', { mode: 0o777 }, 'warning'],
    ['of another user', { mode: 0o755, uid: 12_345 }, 'warning'],
    ['sticky, like /tmp', { mode: 0o1777 }, 'ok'],
  ])('in a folder %s: %s', (_, parent, status) => {
    const modes = { ...root, '/srv': parent, '/srv/sandlot': { mode: 0o700 } }
    expect(homeAccess({ settings }, hostWith({ modes })).status).toBe(status)
  })
})

test('a kernel that has or allows no user namespaces is a warning', () => {
  const machine = (max: string) =>
    hostWith({ files: { '/proc/self/ns/user': '', '/proc/sys/user/max_user_namespaces': max } })
  expect(userNamespaces(undefined, machine('95000')).status).toBe('ok')
  expect(userNamespaces(undefined, machine('0'))).toMatchObject({ status: 'warning' })
  expect(userNamespaces(undefined, hostWith({}))).toMatchObject({ status: 'warning' })
})
