import { execFileSync } from 'node:child_process'
import { lstatSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SshFiles } from './files.ts'
import { includeConfig } from './include-config.ts'
import { hostBlock, sandboxIdOf, sshOptions } from './options.ts'
import { serverScript } from './server-script.ts'

let home: string
let files: SshFiles
beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'e2b-ssh-100%-'))
  files = new SshFiles(join(home, 'ssh'))
})
afterEach(() => rmSync(home, { recursive: true, force: true }))

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8)

describe('SshFiles', () => {
  it('makes one key pair, which only its owner can read', () => {
    const key = files.ensureKey()
    expect(key).toMatch(/^ssh-ed25519 [A-Za-z0-9+/]+$/)
    expect(new SshFiles(files.folder).ensureKey()).toBe(key)
    expect([files.folder, files.knownHosts, files.privateKey].map(modeOf)).toEqual(['700', '700', '600'])
  })

  it('derives a public key that is missing', () => {
    const key = files.ensureKey()
    rmSync(`${files.privateKey}.pub`)
    expect(files.ensureKey()).toBe(key)
  })

  it('keeps the last host key of a sandbox, under both of its names', () => {
    files.ensureKey()
    for (const key of ['ssh-ed25519 OLD', 'ssh-ed25519 NEW'])
      files.remember('iabc.sandlot', ['iabc', 'iabc.sandlot'], key)
    expect(readFileSync(join(files.knownHosts, 'iabc.sandlot'), 'utf8')).toBe(
      'iabc,iabc.sandlot ssh-ed25519 NEW\n',
    )
  })
})

it('ssh understands the Host block, also with blanks and percent signs in paths', () => {
  const options = sshOptions(files, ['/opt/my node', '/opt/100%/main.mjs'])
  const config = join(home, 'config')
  writeFileSync(config, hostBlock(options, 'user'))
  const settings = execFileSync('ssh', ['-F', config, '-G', 'iabc.sandlot'], { encoding: 'utf8' })
  expect(settings).toContain('\nuser user\n')
  expect(settings).toContain(`proxycommand '/opt/my node' /opt/100%%/main.mjs sandbox ssh --proxy '%h'\n`)
  expect(settings).toContain('\nstricthostkeychecking true\n')
  expect(settings).toContain(`userknownhostsfile ${files.knownHosts}/iabc.sandlot\n`)
})

it('the Host block does not apply to a name whose quote would end that of the ProxyCommand', () => {
  const config = join(home, 'config')
  writeFileSync(config, hostBlock([['ProxyCommand', 'false']], 'user').replace("'", 'q'))
  const settings = (host: string) => execFileSync('ssh', ['-F', config, '-G', host], { encoding: 'utf8' })
  expect(hostBlock([], 'user')).toContain(`Host *.sandlot "!*'*"\n`)
  expect(settings('iabc.sandlot')).toContain('\nproxycommand false\n')
  // ssh of today refuses a name with a quote itself, thus another character stands for it
  expect(settings('iaqc.sandlot')).not.toContain('proxycommand')
})

it('a sandbox is named by its id, with and without the ending', () => {
  expect([sandboxIdOf('iabc'), sandboxIdOf('iabc.sandlot')]).toEqual(['iabc', 'iabc'])
})

it('the script for the sandbox is one that bash can read, and holds no private key', () => {
  const script = serverScript('iabc', files.ensureKey())
  execFileSync('bash', ['-n', '-c', script])
  expect(script).not.toContain('PRIVATE KEY')
})

describe('includeConfig', () => {
  it('adds one line at the top of a configuration, which stays a link when it was one', () => {
    files.ensureKey()
    writeFileSync(join(home, 'real'), 'Host *\n  User me\n')
    symlinkSync(join(home, 'real'), join(home, 'config'))
    for (const block of ['Host *.sandlot\n', 'Host *.sandlot\n  User user\n'])
      includeConfig(files, block, home)
    expect(readFileSync(join(home, 'config'), 'utf8')).toBe(
      `Include "${join(files.folder, 'config')}"\n\nHost *\n  User me\n`,
    )
    expect(lstatSync(join(home, 'config')).isSymbolicLink()).toBe(true)
    expect(readFileSync(join(files.folder, 'config'), 'utf8')).toContain('User user')
  })

  it('leaves a link alone whose target is missing', () => {
    files.ensureKey()
    symlinkSync(join(home, 'nowhere'), join(home, 'config'))
    expect(() => includeConfig(files, 'Host *.sandlot\n', home)).toThrow(
      /link to a file that cannot be found/,
    )
    expect(lstatSync(join(home, 'config')).isSymbolicLink()).toBe(true)
  })

  it('makes a configuration that is missing', () => {
    files.ensureKey()
    includeConfig(files, 'Host *.sandlot\n', join(home, 'dot-ssh'))
    expect(modeOf(join(home, 'dot-ssh', 'config'))).toBe('600')
  })
})
