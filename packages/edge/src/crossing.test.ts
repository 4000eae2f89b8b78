import { expect, it } from 'vitest'
import { contained, withoutOwnCookies } from './crossing.ts'

const own = { host: '8080-iabc.sandlot.localhost', isShared: false, isEnvd: false }
const shared = { host: 'sandbox.sandlot.localhost', isShared: true, isEnvd: false }

it.each([
  ['a=1', 'a=1'],
  ['a=1;b=2', 'a=1;b=2'],
  ['sandlot-session=x; a=1', 'a=1'],
  ['a=1; __Host-sandlot-session=x', 'a=1'],
  [' sandlot-session = x ;a=sandlot-session=1', 'a=sandlot-session=1'],
  ['sandlot-session', undefined],
  ['sandlot-session=x; sandlot-form=y', undefined],
])('of the cookies %j, the guest gets %j', (sent, got) => expect(withoutOwnCookies(sent)).toBe(got))

it.each([
  ['a=1', 'a=1'],
  ['a=1; Domain=sandlot.localhost; Path=/', 'a=1; Path=/'],
  ['a=1;domain = .SANDLOT.localhost ; Secure', 'a=1; Secure'],
  ['a=1; Domain=localhost', 'a=1'],
  ['a=1; Domain=', 'a=1'],
  ['a=1; Domain=8080-iabc.sandlot.localhost', 'a=1; Domain=8080-iabc.sandlot.localhost'],
  ['a=1; Domain=x; Domain=8080-iabc.sandlot.localhost', 'a=1; Domain=8080-iabc.sandlot.localhost'],
  ['Domain=sandlot.localhost', 'Domain=sandlot.localhost'],
])('Set-Cookie %j becomes %j', (sent, got) =>
  expect(contained(['Set-Cookie', sent], own)).toEqual(['Set-Cookie', got]),
)

it('a cookie of 60 KB is parsed within milliseconds', () => {
  const start = process.threadCpuUsage()
  const cookie = `a=1; Domain=x${' '.repeat(60_000)}y; ${' '.repeat(60_000)}Domain${' '.repeat(60_000)}`
  contained(['Set-Cookie', cookie], own)
  const { user, system } = process.threadCpuUsage(start)
  expect((user + system) / 1000).toBeLessThan(100)
})

it.each([
  ['"cookies"', undefined],
  ['"cache", "cookies", "storage"', '"cache", "storage"'],
  ['"*"', '"cache", "storage"'],
])('Clear-Site-Data %s becomes %s', (sent, got) =>
  expect(contained(['Clear-Site-Data', sent], own)).toEqual(
    got === undefined ? [] : ['Clear-Site-Data', got],
  ),
)

it('at a shared host no header acts on the origin, and a policy of the guest cannot loosen the policy of the edge', () => {
  const wide = [
    'Set-Cookie',
    'Strict-Transport-Security',
    'Alt-Svc',
    'NEL',
    'Report-To',
    'Service-Worker-Allowed',
  ]
  const sent = [...wide.flatMap((name) => [name, 'x']), 'Content-Security-Policy', 'sandbox allow-scripts']
  expect(contained([...sent, 'X-Content-Type-Options', 'x'], shared)).toEqual([
    ...['Content-Security-Policy', 'sandbox allow-scripts'],
    ...['X-Content-Type-Options', 'nosniff', 'Content-Security-Policy', 'sandbox'],
  ])
})
