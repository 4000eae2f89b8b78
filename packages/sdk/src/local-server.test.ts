import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ConnectionConfig } from './connection-config.ts'
import { findLocalServer, parseEnvFile } from './local-server.ts'

const envFile = (url: string) => `# Written by sandlot up.
export E2B_API_KEY=e2b_0123
export E2B_API_URL=${url}
export E2B_DOMAIN=sandlot.localhost:3000
`

let folder: string
const before = process.cwd()

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'local-server-'))
  process.chdir(folder)
  for (const name of [
    'SANDLOT_HOME',
    'E2B_API_KEY',
    'E2B_DOMAIN',
    'E2B_API_URL',
    'E2B_SANDBOX_URL',
    'E2B_DEBUG',
  ])
    vi.stubEnv(name, undefined)
  vi.spyOn(console, 'error').mockImplementation(() => {})
})
afterEach(() => {
  process.chdir(before)
  rmSync(folder, { recursive: true })
  vi.unstubAllEnvs()
  vi.restoreAllMocks()
})

function place(directory: string, content: string): void {
  mkdirSync(directory, { recursive: true })
  writeFileSync(join(directory, 'env'), content)
}

describe('the file of a server', () => {
  test('gives key and addresses without shell quotes', () => {
    const content = `export E2B_API_KEY='it'\\''s'\nexport E2B_API_URL=http://localhost:1\n`
    expect(parseEnvFile(content, 'x/env')).toEqual({
      envFile: 'x/env',
      apiKey: "it's",
      apiUrl: 'http://localhost:1',
      sandboxUrl: 'http://sandbox.localhost:1',
      domain: undefined,
    })
  })

  test('gives the URL of sandboxes, or derives it from the URL of the API', () => {
    const of = (api: string, rest = '') =>
      parseEnvFile(`export E2B_API_KEY=x\nexport E2B_API_URL=${api}\n${rest}`, 'env')?.sandboxUrl
    expect(of('http://localhost:3000', 'export E2B_SANDBOX_URL=http://localhost:3001\n')).toBe(
      'http://localhost:3001',
    )
    expect(of('http://127.0.0.1')).toBe('http://sandbox.localhost:80')
    expect(of('https://api.example.com')).toBeUndefined()
  })

  test('is ignored without a key or an address', () => {
    expect(parseEnvFile('export E2B_API_KEY=x', 'env')).toBeUndefined()
    expect(parseEnvFile('export E2B_API_URL=x', 'env')).toBeUndefined()
    expect(parseEnvFile('', 'env')).toBeUndefined()
  })
})

describe('the search for a server', () => {
  test('looks only in $SANDLOT_HOME when that is set', () => {
    place('.sandlot', envFile('http://localhost:3000'))
    place('home', envFile('https://api.sandlot.example'))
    vi.stubEnv('SANDLOT_HOME', join(folder, 'home'))
    expect(findLocalServer()?.apiUrl).toBe('https://api.sandlot.example')
    vi.stubEnv('SANDLOT_HOME', join(folder, 'nowhere'))
    expect(findLocalServer()).toBeUndefined()
  })

  test('finds a server in the working directory', () => {
    expect(findLocalServer()).toBeUndefined()
    place('.sandlot', envFile('http://localhost:3000'))
    expect(findLocalServer()).toMatchObject({ apiKey: 'e2b_0123', apiUrl: 'http://localhost:3000' })
  })

  test.each(['https://attacker.example', 'http://localhost.attacker.example', 'http://10.0.0.1', 'nonsense'])(
    'ignores a file in the working directory that names %s',
    (url) => {
      place('.sandlot', envFile(url))
      expect(findLocalServer()).toBeUndefined()
    },
  )

  test('takes place only when neither an option nor a variable gives a key or an address', () => {
    place('.sandlot', envFile('http://localhost:3000'))
    expect(new ConnectionConfig()).toMatchObject({
      apiKey: 'e2b_0123',
      apiUrl: 'http://localhost:3000',
      sandboxUrl: 'http://sandbox.localhost:3000',
      domain: 'sandlot.localhost:3000',
    })
    expect(new ConnectionConfig({ apiKey: 'e2b_ff' }).apiUrl).toBe('https://api.e2b.app')
    expect(new ConnectionConfig({ domain: 'a.example' }).apiKey).toBeUndefined()
    vi.stubEnv('E2B_API_KEY', 'e2b_ee')
    expect(new ConnectionConfig()).toMatchObject({ apiKey: 'e2b_ee', apiUrl: 'https://api.e2b.app' })
  })
})

test('announces a server that was found once', async () => {
  vi.resetModules()
  const fresh = await import('./connection-config.ts')
  place('.sandlot', envFile('http://localhost:3000'))
  new fresh.ConnectionConfig()
  new fresh.ConnectionConfig()
  expect(console.error).toHaveBeenCalledTimes(1)
  expect(vi.mocked(console.error).mock.calls[0]![0]).toMatch(/http:\/\/localhost:3000 \(\.sandlot\/env\)/)
})
