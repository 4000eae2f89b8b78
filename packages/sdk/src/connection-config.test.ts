import { afterEach, describe, expect, test, vi } from 'vitest'
import { ConnectionConfig } from './connection-config.ts'
import { VERSION } from './version.ts'

afterEach(() => {
  vi.unstubAllEnvs()
  ConnectionConfig.setIntegration(undefined)
})

const key = { apiKey: 'e2b_00' }
const address = { sandboxDomain: 'sandlot.localhost:3000', envdPort: 49983 }

test('defaults', () => {
  expect(new ConnectionConfig(key)).toMatchObject({
    domain: 'e2b.app',
    apiUrl: 'https://api.e2b.app',
    sandboxUrl: undefined,
    debug: false,
    requestTimeoutMs: 60_000,
    retries: 3,
  })
})

test('an option overrides its environment variable, and the variable overrides the default', () => {
  vi.stubEnv('E2B_DOMAIN', 'from.variable')
  vi.stubEnv('E2B_API_KEY', 'e2b_11')
  expect(new ConnectionConfig()).toMatchObject({ apiUrl: 'https://api.from.variable', apiKey: 'e2b_11' })
  expect(new ConnectionConfig({ ...key, domain: 'from.option:1' })).toMatchObject({
    apiUrl: 'https://api.from.option:1',
    apiKey: 'e2b_00',
  })
  vi.stubEnv('E2B_API_URL', 'http://api.variable')
  vi.stubEnv('E2B_SANDBOX_URL', 'http://sandbox.variable')
  expect(new ConnectionConfig()).toMatchObject({
    apiUrl: 'http://api.variable',
    sandboxUrl: 'http://sandbox.variable',
  })
})

describe('the address of a sandbox', () => {
  test('is the host of that sandbox', () => {
    const config = new ConnectionConfig(key)
    expect(config.getSandboxUrl('iabc', address)).toBe('https://49983-iabc.sandlot.localhost:3000')
    expect(config.getHost('iabc', 80, 'a.example')).toBe('80-iabc.a.example')
  })

  test('is one shared host on the domains that have one, but never in URLs for others', () => {
    const config = new ConnectionConfig(key)
    const shared = { ...address, sandboxDomain: 'e2b.app' }
    expect(config.getSandboxUrl('iabc', shared)).toBe('https://sandbox.e2b.app')
    expect(config.getSandboxDirectUrl('iabc', shared)).toBe('https://49983-iabc.e2b.app')
  })

  test('is the sandbox URL for everything but getHost', () => {
    const config = new ConnectionConfig({ ...key, sandboxUrl: 'http://localhost:1' })
    expect(config.getSandboxUrl('iabc', address)).toBe('http://localhost:1')
    expect(config.getSandboxDirectUrl('iabc', address)).toBe('http://localhost:1')
    expect(config.getHost('iabc', 80, 'a.example')).toBe('80-iabc.a.example')
  })

  test('is localhost in debug mode', () => {
    vi.stubEnv('E2B_DEBUG', 'true')
    const config = new ConnectionConfig()
    expect(config).toMatchObject({ debug: true, apiUrl: 'http://localhost:3000' })
    expect(config.getSandboxUrl('iabc', address)).toBe('http://localhost:49983')
    expect(config.getHost('iabc', 80, 'a.example')).toBe('localhost:80')
  })
})

describe('the User-Agent', () => {
  const userAgent = (opts: object) => new ConnectionConfig({ ...key, ...opts }).headers?.['User-Agent']

  test('names the SDK, an integration and a source, also in a configuration made from another', () => {
    expect(userAgent({})).toBe(`e2b-js-sdk/${VERSION}`)
    const first = new ConnectionConfig(key)
    ConnectionConfig.setIntegration('other/1.0')
    vi.stubEnv('E2B_USER_AGENT_SOURCE', 'docs.example')
    expect(userAgent({ headers: first.headers })).toBe(`e2b-js-sdk/${VERSION} other/1.0 source/docs.example`)
  })

  test('leaves out a source that could break the header', () => {
    vi.stubEnv('E2B_USER_AGENT_SOURCE', 'a b')
    expect(userAgent({})).toBe(`e2b-js-sdk/${VERSION}`)
  })

  test('is the value of the caller when the caller sets one', () => {
    expect(new ConnectionConfig({ ...key, apiHeaders: { 'user-agent': 'mine' } }).headers).toEqual({
      'user-agent': 'mine',
    })
  })
})

test('bound options apply where a call omits an option or passes undefined', () => {
  const bound = { apiKey: 'bound', domain: 'bound.example' }
  expect(ConnectionConfig.mergeOpts(bound, { apiKey: 'call', domain: undefined })).toEqual({
    apiKey: 'call',
    domain: 'bound.example',
  })
  expect(ConnectionConfig.mergeOpts(undefined, { apiKey: 'call' })).toEqual({ apiKey: 'call' })
})

describe('the signal of a request', () => {
  test('aborts after the request timeout', async () => {
    const signal = new ConnectionConfig({ ...key, requestTimeoutMs: 10 }).getSignal()!
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    expect(signal.reason).toHaveProperty('name', 'TimeoutError')
  })

  test('aborts with the signal of the caller', () => {
    const controller = new AbortController()
    const signal = new ConnectionConfig(key).getSignal(undefined, controller.signal)!
    controller.abort('mine')
    expect(signal.reason).toBe('mine')
  })

  test('is undefined with timeout 0', () => {
    expect(new ConnectionConfig({ ...key, requestTimeoutMs: 0 }).getSignal()).toBeUndefined()
    expect(new ConnectionConfig(key).getSignal(0)).toBeUndefined()
  })
})
