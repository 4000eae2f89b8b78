import { createHash } from 'node:crypto'
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { repositoryRoot } from '../config.ts'
import { buildPinned, pinnedModules } from './build-pinned.ts'
import { copyKnown, download, knownHashes, RUNSC_VERSION } from './runsc-release.ts'

let folder: string
beforeEach(() => void (folder = mkdtempSync(join(tmpdir(), 'sandlot-runsc-'))))
afterEach(() => rmSync(folder, { recursive: true }))

const step = { update() {} }
const sha512 = (content: string) => createHash('sha512').update(content).digest('hex')

describe('a runsc on PATH', () => {
  const claim = () => {
    const path = join(folder, 'claim')
    const script = `#!/bin/sh\ntouch ${join(folder, 'was-run')}\necho "runsc version release-${RUNSC_VERSION}"\n`
    writeFileSync(path, script, { mode: 0o755 })
    return { path, hash: sha512(script) }
  }

  test('is not trusted because of its version, and not even run', async () => {
    const { path, hash } = claim()
    const reason = await copyKnown(path, join(folder, 'copy'), knownHashes(''))
    expect(reason).toContain(
      `${path} is not used: its sha512 ${hash} is neither in the source nor the setting`,
    )
    expect(existsSync(join(folder, 'was-run'))).toBe(false)
    expect(existsSync(join(folder, 'copy'))).toBe(false)
  })

  test('is used when the administrator has named its sha512', async () => {
    const { path, hash } = claim()
    expect(await copyKnown(path, join(folder, 'copy'), knownHashes(hash))).toBeUndefined()
  })
})

describe('the official release', () => {
  let server: Server
  let requests: string[] = []
  const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}/x86_64/runsc`
  beforeEach(async () => {
    requests = []
    server = createServer((request, response) => {
      requests.push(request.url!)
      // served beside the binary like at the real origin, where an attacker would replace both
      response.end(request.url!.endsWith('.sha512') ? `${sha512('evil')}  runsc` : 'evil')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterEach(() => void server.close())

  test('is not requested when no sha512 is known', async () => {
    await expect(download(url(), join(folder, 'runsc'), [], step)).rejects.toThrow('runscSha512')
    expect(requests).toEqual([])
  })

  test('is accepted only with the sha512 in the source', async () => {
    const known = [sha512('good')]
    await expect(download(url(), join(folder, 'runsc'), known, step)).rejects.toThrow(sha512('evil'))
    expect(requests).toEqual(['/x86_64/runsc'])
    expect(existsSync(join(folder, 'runsc'))).toBe(false)
    await download(url(), join(folder, 'runsc'), [sha512('evil')], step)
    expect(readFileSync(join(folder, 'runsc'), 'utf8')).toBe('evil')
  })
})

describe('a program that Go builds', () => {
  const built = { package: 'github.com/google/go-containerregistry/cmd/crane', ldflags: '-s -w' }
  const environment = {
    GOFLAGS: '-mod=mod',
    GONOSUMDB: '*',
    GONOSUMCHECK: '1',
    GOPRIVATE: '*',
    GOSUMDB: 'off',
  }
  beforeEach(() => {
    for (const [name, value] of Object.entries(environment)) vi.stubEnv(name, value)
  })
  afterEach(() => void vi.unstubAllEnvs())

  test.each([
    [
      'has another hash',
      (line: string) => line.replace(/h1:.{8}/, 'h1:AAAAAAAA'),
      'does NOT match an earlier download recorded in go.sum',
    ],
    ['is not in go.sum', () => '', 'missing go.sum entry'],
  ])(
    'is not built when a module %s, whatever the environment says',
    async (_, change, words) => {
      const modules = join(folder, 'modules')
      cpSync(join(repositoryRoot, 'tests/registry/crane'), modules, { recursive: true })
      const sums = readFileSync(join(modules, 'go.sum'), 'utf8')
      writeFileSync(
        join(modules, 'go.sum'),
        sums.replace(/^github.com\/google\/go-containerregistry .*\n/gm, change),
      )
      await expect(buildPinned({ ...built, modules }, folder, step)).rejects.toThrow(words)
    },
    120_000,
  )

  test('has the version that its name in the cache says', () => {
    const modulesOf = (program: string) => readFileSync(join(pinnedModules(program), 'go.mod'), 'utf8')
    expect(modulesOf('runsc')).toContain(`gvisor.dev/gvisor v0.0.0-${RUNSC_VERSION.split('.')[0]}`)
  })
})
