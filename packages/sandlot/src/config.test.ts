import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Command } from 'commander'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { shownValue } from './commands/config.ts'
import { loadConfig } from './config.ts'
import { addSettingFlags } from './setting-flags.ts'
import { flagOf, settingNames, variableOf } from './settings.ts'

let folder: string
let file: string

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sandlot-config-'))
  file = join(folder, 'sandlot.config.json')
  writeFileSync(file, '{}')
})
afterEach(() => rmSync(folder, { recursive: true }))

const load = (flags: Record<string, unknown> = {}, env: NodeJS.ProcessEnv = {}) =>
  loadConfig({ flags, env, file })

test('a flag overrides the environment, which overrides the file, which overrides the default', () => {
  expect(load().settings.poolMax).toBe(16)
  writeFileSync(file, '{"poolMax": 3}')
  expect(load()).toMatchObject({ settings: { poolMax: 3 }, sources: { poolMax: file } })
  expect(load({}, { SANDLOT_POOL_MAX: '4' })).toMatchObject({
    settings: { poolMax: 4 },
    sources: { poolMax: 'SANDLOT_POOL_MAX' },
  })
  const winner = load({ poolMax: '5' }, { SANDLOT_POOL_MAX: '4' })
  expect(winner).toMatchObject({ settings: { poolMax: 5 }, sources: { poolMax: '--pool-max' } })
})

test('loopback is bound for IPv4 and IPv6, any other address alone', () => {
  expect(load().listen).toEqual({ hosts: ['127.0.0.1', '::1'], port: 3000 })
  expect(load({ listen: '4000' }).listen).toEqual({ hosts: ['127.0.0.1', '::1'], port: 4000 })
  expect(load({ listen: 'localhost:4000' }).listen.hosts).toEqual(['127.0.0.1', '::1'])
  expect(load({ listen: '[::]:80' }).listen).toEqual({ hosts: ['::'], port: 80 })
})

test('the administrator has a mail address at the domain, without the port', () => {
  expect(load().settings.adminEmail).toBe('admin@sandlot.localhost')
  expect(load({ domain: 'example.com:8443' }).settings.adminEmail).toBe('admin@example.com')
  expect(load({ adminEmail: 'me@example.com' }).settings.adminEmail).toBe('me@example.com')
  expect(() => load({ adminEmail: 'me' })).toThrow('adminEmail is "me"')
})

test('a listener for sandboxes only is off, or has a port of its own', () => {
  expect(load().sandboxListen).toBeUndefined()
  expect(load({ sandboxListen: '3001' }).sandboxListen).toEqual({ hosts: ['127.0.0.1', '::1'], port: 3001 })
  expect(() => load({ sandboxListen: '0.0.0.0:3000' })).toThrow('another port than listen (3000)')
})

test('the default domain contains the port of the listener', () => {
  expect(load({ listen: '4001' }).settings.domain).toBe('sandlot.localhost:4001')
  expect(load({ listen: '4001', domain: 'sbx.example.com' }).settings.domain).toBe('sbx.example.com')
})

test('lists are separated by commas', () => {
  expect(load({}, { SANDLOT_ALLOWED_RANGES: '10.1.0.0/24, 10.2.3.4' }).settings.allowedRanges).toEqual([
    '10.1.0.0/24',
    '10.2.3.4',
  ])
})

test.each([
  ['listen', '127.0.0.1:99999', 'from --listen'],
  ['listen', '127.0.0.1', 'host:port'],
  ['poolMax', 'many', 'a whole number from 0 to 1000'],
  ['slots', '0', 'a whole number from 1'],
  ['allowedRanges', 'intranet', 'IPv4 ranges'],
  ['dns', 'resolver', 'an IPv4 address'],
  ['logLevel', 'loud', 'one of trace'],
  ['role', 'edge', 'all'],
  ['domain', 'UPPER.example', 'lower-case'],
  ['networkRange', '10.1.2.3/16', 'bits set below /16'],
  ['networkRange', '10.300.0.0/16', 'from --network-range'],
])('%s "%s" is refused with one line that names the setting', (name, value, part) => {
  expect(() => load({ [name]: value })).toThrow(part)
  expect(() => load({ [name]: value })).toThrow(value)
})

test('settings that contradict each other are refused', () => {
  expect(() => load({ poolMin: '9', poolMax: '3' })).toThrow('at most poolMax (3)')
  expect(() => load({ slots: '65', networkRange: '10.9.0.0/24' })).toThrow('at most 64')
})

test('an unknown key in the file is refused with the nearest known name', () => {
  writeFileSync(file, '{"poolmax": 3}')
  expect(() => load()).toThrow('did you mean "poolMax"?')
})

test('a configuration file that is not JSON, or was named but is missing, is refused', () => {
  writeFileSync(file, '{')
  expect(() => load()).toThrow('is not JSON')
  expect(() => loadConfig({ env: {}, file: join(folder, 'other.json') })).toThrow('cannot read')
})

test.each([
  [`{"store": 'secret'}`],
  [`{"store": secret://me}`],
  [`{"checkpointSecret": "${'x'.repeat(40)}secret", "slots": ten}`],
])('a file that is not JSON is refused without its secrets: %s', (content) => {
  writeFileSync(file, content)
  expect(() => load()).toThrow('is not JSON')
  expect(() => load()).not.toThrow(/cret/)
})

test('a value that is refused is shown without its password', () => {
  expect(() => load({ checkpointEndpoint: 's3://me:secret@minio' })).toThrow('"s3://…@minio"')
  expect(() => load({ allowedRegistries: 'a.example.com,me:secret@b' })).toThrow('a.example.com,…@b')
})

test('an unknown SANDLOT_ variable is only a warning', () => {
  expect(load({}, { SANDLOT_POOLMAX: '1' }).warnings).toEqual([
    'SANDLOT_POOLMAX is not a setting and is ignored: did you mean SANDLOT_POOL_MAX?',
  ])
})

test('names of flags and variables follow from the names of settings', () => {
  expect([flagOf('poolMemoryFloorMB'), variableOf('poolMemoryFloorMB')]).toEqual([
    '--pool-memory-floor-mb',
    'SANDLOT_POOL_MEMORY_FLOOR_MB',
  ])
  expect(new Set(settingNames.map(flagOf)).size).toBe(settingNames.length)
})

test('a secret has no flag, and an error about it does not show it', () => {
  const command = addSettingFlags(new Command())
  expect(command.options.map(({ long }) => long)).not.toContain(flagOf('checkpointSecret'))
  const secret = 'much-too-short'
  const wrong = () => load({}, { SANDLOT_CHECKPOINT_SECRET: secret })
  expect(wrong).toThrow(/checkpointSecret is "\(not shown\)".*at least 32 characters/)
})

test('the value of a secret is shown only where it is the default, or empty', () => {
  expect(shownValue('store', 'postgres://u:secret@h/d', 'SANDLOT_STORE')).toBe('(not shown)')
  expect(shownValue('store', 'sqlite', 'default')).toBe('sqlite')
  expect(shownValue('checkpointSecret', '', 'SANDLOT_CHECKPOINT_SECRET')).toBe('')
})
