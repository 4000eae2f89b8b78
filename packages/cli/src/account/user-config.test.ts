import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  configPath,
  migrateConfig,
  readConfig,
  removeConfig,
  type UserConfig,
  writeConfig,
} from './user-config.ts'

const config: UserConfig = {
  version: 2,
  identity: { email: 'a@b.c' },
  projectId: 'p',
  projectApiKey: 'e2b_00',
}
let home: string
let path: string
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'e2b-config-'))
  path = configPath(home)
})
afterEach(() => rmSync(home, { recursive: true }))

describe('the config file', () => {
  it('and its directory are readable by the owner only, also where others could read them before', () => {
    mkdirSync(dirname(path), { mode: 0o755 })
    writeFileSync(path, '{}', { mode: 0o644 })
    chmodSync(path, 0o644)
    writeConfig(config, path)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(statSync(dirname(path)).mode & 0o777).toBe(0o700)
    expect(readConfig(path)).toEqual(config)
    expect(readdirSync(dirname(path))).toEqual(['config.json'])
  })

  it('does not exist before a login and after the logout', () => {
    expect(readConfig(path)).toBeUndefined()
    writeConfig(config, path)
    removeConfig(path)
    expect(readConfig(path)).toBeUndefined()
  })

  it('is refused when damaged, and the error says what to do', () => {
    mkdirSync(dirname(path))
    for (const text of [
      '',
      '[]',
      'null',
      '{"projectApiKey":1,"identity":{"email":"a"}}',
      '{"identity":{}}',
    ]) {
      writeFileSync(path, text)
      expect(() => readConfig(path)).toThrow(/is damaged\. Remove it and run `e2b auth login`/)
    }
  })
})

describe('migrateConfig', () => {
  it('converts a team of version 1 to a project', () => {
    const { projectId, projectApiKey, ...rest } = config
    expect(migrateConfig({ ...rest, version: 1, teamName: 'T', teamId: 'p', teamApiKey: 'e2b_00' })).toEqual({
      ...config,
      projectName: 'T',
    })
  })

  it('keeps unknown fields', () => {
    expect(migrateConfig({ ...config, dockerProxySet: true, later: 1 })).toMatchObject({
      dockerProxySet: true,
      later: 1,
    })
  })
})
