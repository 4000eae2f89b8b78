import type { SandboxNetworkConfig } from '@sandlot/protocol/rest'
import { describe, expect, test } from 'vitest'
import { networkSettingsOf, withUpdate } from './network-settings.ts'

const LIMITS = { allowedRanges: ['10.5.0.0/16'] }
const check = (network: SandboxNetworkConfig) => networkSettingsOf(network, undefined, LIMITS)
const headers = (headers: Record<string, string>) => ({ 'a.com': [{ transform: { headers } }] })
const named = (count: number, value = 'v') =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`x-${index}`, value]))
const secrets = (count: number) =>
  named(2, Array.from({ length: count / 2 }, (_, index) => `\${e2b.secrets.s${index}}`).join(''))
const proxy = (egressProxy: Record<string, unknown>) => ({
  egressProxy: { address: 'proxy.example.com:1080', ...egressProxy },
})

describe('network settings are accepted', () => {
  test.each<[what: string, network: SandboxNetworkConfig]>([
    ['nothing', {}],
    ['addresses and blocks', { allowOut: ['1.1.1.1', '8.0.0.0/8'], denyOut: ['0.0.0.0/0', '10.1.2.3/8'] }],
    ['names', { allowOut: ['a.com', '*.b.com', '*'], denyOut: ['0.0.0.0/0'] }],
    ['names while all is denied in another notation', { allowOut: ['a.com'], denyOut: ['1.2.3.4/0'] }],
    [
      '10 domains with rules',
      { rules: Object.fromEntries(Object.keys(named(10)).map((key) => [`${key}.com`, []])) },
    ],
    ['a rule without a transform', { rules: { 'a.com': [{}, {}] } }],
    ['20 headers', { rules: headers(named(20)) }],
    ['the longest header', { rules: headers({ ['n'.repeat(64)]: 'v'.repeat(2048) }) }],
    ['Latin-1 values', { rules: headers({ a: 'é\t~', "!#$%&'*+-.^_`|~9": '' }) }],
    ['placeholders', { rules: headers({ a: 'Bearer ${e2b.secrets.KEY}${e2b.identity.tokens.my cloud}' }) }],
    ['32 secrets', { rules: headers({ ...secrets(64), a: '${e2b.secrets.S1}' }) }],
    ['a wildcard rule', { rules: { '*.A.com': [] } }],
    ['10 DNS servers', { dnsServers: Array.from({ length: 10 }, (_, index) => `1.1.1.${index}`) }],
    ['no DNS servers', { dnsServers: [] }],
    ['a proxy', proxy({ username: 'u'.repeat(255), password: 'p'.repeat(255), tls: { enabled: true } })],
    ['a proxy at an address that the administrator allows', proxy({ address: '10.5.0.9:1080' })],
    ['no proxy', { egressProxy: null }],
    ['masks', { maskRequestHost: '${PORT}-app.example.com:${PORT}' }],
    ['an address as mask', { maskRequestHost: '[::1]:8080' }],
    ['HTTPS ports', { httpsPorts: [1, 65_535] }],
    ['public traffic of the default', { allowPublicTraffic: null }],
  ])('%s', (_, network) => {
    expect(() => check(network)).not.toThrow()
  })
})

describe('network settings are refused', () => {
  test.each<[message: string, network: SandboxNetworkConfig]>([
    ['invalid denied CIDR example.com', { denyOut: ['example.com'] }],
    ['invalid denied CIDR 0.0.0.0', { denyOut: ['0.0.0.0'] }],
    ['invalid denied CIDR 10.0.0.0/33', { denyOut: ['0.0.0.0/0', '10.0.0.0/33'] }],
    ['invalid denied CIDR ::/0: sandboxes reach IPv4 addresses only', { denyOut: ['::/0'] }],
    ['invalid allowed address http://a.com', { allowOut: ['http://a.com'], denyOut: ['0.0.0.0/0'] }],
    ['invalid allowed address 0.0.0.0', { allowOut: ['0.0.0.0'] }],
    ['invalid allowed address 1.2.3', { allowOut: ['1.2.3'], denyOut: ['0.0.0.0/0'] }],
    ['invalid allowed address ::1: sandboxes reach IPv4 addresses only', { allowOut: ['::1'] }],
    [
      "When specifying allowed domains in allow out, you must include 'ALL_TRAFFIC' in deny out to block all other traffic.",
      { allowOut: ['a.com'], denyOut: ['10.0.0.0/8'] },
    ],
    [
      'invalid DNS server dns.google: it must be an IPv4 address, for example 1.1.1.1',
      { dnsServers: ['dns.google'] },
    ],
    [
      'invalid DNS server 8.8.8.0/24: it must be an IPv4 address, for example 1.1.1.1',
      { dnsServers: ['8.8.8.0/24'] },
    ],
    [
      'network rules can have at most 10 domains, but they have 11',
      { rules: Object.fromEntries(Object.keys(named(11)).map((key) => [`${key}.com`, []])) },
    ],
    [
      `network rule domain ${'a.'.repeat(64)}… has 131 characters, at most 128 are allowed`,
      { rules: { [`${'a.'.repeat(64)}com`]: [] } },
    ],
    [
      'invalid network rule domain *: it must be a domain, for example api.example.com or *.example.com',
      { rules: { '*': [] } },
    ],
    [
      'invalid network rule domain 1.1.1.1: it must be a domain, for example api.example.com or *.example.com',
      { rules: { '1.1.1.1': [] } },
    ],
    ['network rule domains A.com and a.com. are the same', { rules: { 'A.com': [], 'a.com.': [] } }],
    [
      'network rules of a.com can have 1 transform, but they have 2',
      { rules: { 'a.com': [{ transform: {} }, { transform: {} }] } },
    ],
    ['network transform of a.com can set at most 20 headers, but it has 21', { rules: headers(named(21)) }],
    [
      'network transform of a.com sets the header X-A twice: case does not count',
      { rules: headers({ 'x-a': '', 'X-A': '' }) },
    ],
    [
      `network transform header name "${'n'.repeat(64)}"… of a.com has 65 characters, at most 64 are allowed`,
      { rules: headers({ ['n'.repeat(65)]: '' }) },
    ],
    [
      'invalid network transform header name "a b" of a.com: letters, digits and !#$%&\'*+-.^_`|~ are allowed',
      { rules: headers({ 'a b': '' }) },
    ],
    [
      'invalid network transform header name "" of a.com: letters, digits and !#$%&\'*+-.^_`|~ are allowed',
      { rules: headers({ '': '' }) },
    ],
    [
      'network transform header Content-Length of a.com cannot be set: the proxy writes it itself',
      { rules: headers({ 'Content-Length': '3' }) },
    ],
    [
      'network transform header x of a.com has a value of 2049 characters, at most 2048 are allowed',
      { rules: headers({ x: 'v'.repeat(2049) }) },
    ],
    [
      'network transform header x of a.com has a value with control characters, or with characters that are not Latin-1',
      { rules: headers({ x: 'a\r\nHost: b' }) },
    ],
    [
      'Network transform header contains a malformed E2B placeholder.',
      { rules: headers({ x: '${e2b.secrets.}' }) },
    ],
    [
      'Network transform header contains a malformed E2B placeholder.',
      { rules: headers({ x: '${e2b.secrets.${e2b.secrets.a}}' }) },
    ],
    [
      'Network transform header contains a malformed E2B placeholder.',
      { rules: headers({ x: '${e2b.secrets.a' }) },
    ],
    [
      'network transform of a.com can use at most 32 secrets, but it uses 33',
      { rules: headers({ ...secrets(64), a: '${e2b.secrets.other}' }) },
    ],
    [
      'Invalid egress proxy config: address "proxy" must be host:port with an IPv4 address or a name, for example proxy.example.com:1080',
      proxy({ address: 'proxy' }),
    ],
    [
      'Invalid egress proxy config: address "socks5://…@proxy:1080" must be host:port with an IPv4 address or a name, for example proxy.example.com:1080',
      proxy({ address: 'socks5://me:hunter2@proxy:1080' }),
    ],
    [
      'Invalid egress proxy config: address 127.0.0.1 is private: the proxy must be at a public address',
      proxy({ address: '127.0.0.1:1080' }),
    ],
    [
      'Invalid egress proxy config: address 10.6.0.1 is private: the proxy must be at a public address',
      proxy({ address: '10.6.0.1:1080' }),
    ],
    [
      'Invalid egress proxy config: address localhost is private: the proxy must be at a public address',
      proxy({ address: 'LOCALHOST.:1080' }),
    ],
    [
      'Invalid egress proxy config: address has 260 bytes, at most 255 are allowed',
      proxy({ address: `${'a'.repeat(255)}:1080` }),
    ],
    [
      'Invalid egress proxy config: username has 256 bytes, at most 255 are allowed',
      proxy({ username: 'ü'.repeat(128) }),
    ],
    [
      'Invalid egress proxy config: password has 256 bytes, at most 255 are allowed',
      proxy({ username: 'u', password: 'p'.repeat(256) }),
    ],
    ['Invalid egress proxy config: password needs a username', proxy({ password: 'p' })],
    [
      'Invalid egress proxy config: tls.serverName has 254 characters, at most 253 are allowed',
      proxy({ tls: { serverName: 'a'.repeat(254) } }),
    ],
    [
      'Invalid egress proxy config: tls.serverName "*.a" is not a domain',
      proxy({ tls: { serverName: '*.a' } }),
    ],
    [
      'Invalid egress proxy config: tls.caCert has 8193 bytes, at most 8192 are allowed',
      proxy({ tls: { caCert: 'x'.repeat(8193) } }),
    ],
    [
      'Invalid egress proxy config: tls.caCert must be certificates in PEM form (-----BEGIN CERTIFICATE----- …)',
      proxy({ tls: { caCert: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----' } }),
    ],
    [
      'mask request host is not valid: "a b" must be host or host:port, for example localhost:${PORT}',
      { maskRequestHost: 'a b' },
    ],
    [
      'mask request host is not valid: "" must be host or host:port, for example localhost:${PORT}',
      { maskRequestHost: '' },
    ],
    [
      'mask request host is not valid: "a/b" must be host or host:port, for example localhost:${PORT}',
      { maskRequestHost: 'a/b' },
    ],
    [
      'mask request host "ü.com" is not ASCII: write international names in their xn-- form',
      { maskRequestHost: 'ü.com' },
    ],
    ['invalid HTTPS port 49983: it is the port of envd', { httpsPorts: [443, 49_983] }],
    ['HTTPS port 443 is listed twice', { httpsPorts: [443, 80, 443] }],
  ])('%s', (message, network) => {
    expect(() => check(network)).toThrow(expect.objectContaining({ errorName: 'invalid_request', message }))
  })
})

test('domains need no denyOut when internet access is off', () => {
  expect(() => networkSettingsOf({ allowOut: ['a.com'] }, false, LIMITS)).not.toThrow()
})

test('only known fields are kept', () => {
  const network = { allowOut: ['1.1.1.1'], httpsPorts: [443], egressProxy: null, more: 'x'.repeat(9999) }
  expect(check(network).network).toEqual({ allowOut: ['1.1.1.1'], httpsPorts: [443] })
})

test('an update replaces all rules for outgoing connections and keeps those for incoming ones', () => {
  const network: SandboxNetworkConfig = {
    allowPublicTraffic: false,
    maskRequestHost: 'a',
    httpsPorts: [443],
    allowOut: ['1.1.1.1'],
    denyOut: ['0.0.0.0/0'],
    rules: headers({ a: 'b' }),
    dnsServers: [],
    ...proxy({ username: 'u' }),
  }
  const before = { allowInternetAccess: false, network, timeoutSeconds: 3 }
  const after = withUpdate(before, { denyOut: ['2.0.0.0/8'], closeExisting: true }, LIMITS)
  expect(after).toEqual({
    allowInternetAccess: undefined,
    network: { allowPublicTraffic: false, maskRequestHost: 'a', httpsPorts: [443], denyOut: ['2.0.0.0/8'] },
    timeoutSeconds: 3,
  })
  expect(before.network).toBe(network)
})
