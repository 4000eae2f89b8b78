import { expect, test } from 'vitest'
import { formatSandboxHost, parseSandboxHost } from './hosts.ts'

test('a host names port and sandbox; what follows the first dot does not matter', () => {
  const target = { port: 49983, sandboxId: 'iabc0' }
  for (const rest of ['.sandlot.localhost:3000', '.a.b', ''])
    expect(parseSandboxHost(`49983-iabc0${rest}`)).toEqual(target)
  expect(parseSandboxHost(formatSandboxHost(target, 'sbx.local:8443'))).toEqual(target)
})

test('a host may contain the longer sandbox name that clients up to 1.5 use', () => {
  const target = { port: 80, sandboxId: 'iabc0', calledName: 'iabc0-6532622b' }
  expect(parseSandboxHost('80-iabc0-6532622b.e2b.app')).toEqual(target)
})

test.each([
  '',
  'localhost',
  'iabc',
  '-iabc',
  '0-iabc',
  '65536-iabc',
  '999999-iabc',
  '80x-iabc',
  '+80-iabc',
  '1e3-iabc',
])('host %j is invalid', (host) => {
  expect(parseSandboxHost(host)).toBe('Invalid host')
})

test.each(['80-', '80-IABC', '80-i_a', '80-i%00', '80-iabc-a!', `80-${'x'.repeat(65)}`])(
  'host %j has no sandbox id',
  (host) => {
    expect(parseSandboxHost(host)).toBe('Invalid sandbox ID')
  },
)
