import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { buildCli, detached, e2b } from './command.ts'
import { startUnsteadyProxy } from './unsteady-proxy.ts'

const MiB = 2 ** 20
const NAME = `cli-${process.pid}`
const folder = mkdtempSync(join(tmpdir(), 'e2b-volume-'))

beforeAll(async () => {
  await buildCli()
  expect(await e2b(['volume', 'create', NAME, '--size', '1G'])).toMatchObject({ code: 0, stderr: '' })
}, 180_000)
afterAll(async () => {
  await e2b(['volume', 'delete', '--now', NAME])
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const json = async (...args: string[]) => JSON.parse((await e2b([...args, '-f', 'json'])).stdout)

describe('e2b volume', () => {
  it('shows size and use, and enlarges a volume', async () => {
    expect(await json('volume', 'info', NAME)).toMatchObject({
      name: NAME,
      sizeMB: 1024,
      isSizeLimited: true,
    })
    expect((await e2b(['volume', 'resize', NAME, '1.5G'])).stderr).toContain('such as 500M or 20G')
    expect((await e2b(['volume', 'resize', NAME, '2G'])).stdout).toBe(`Volume ${NAME} has 2.0 GiB now\n`)
    expect((await e2b(['volume', 'info', NAME])).stdout).toMatch(/^Size: +2.0 GiB\nUsed: +\d+\.\d MiB$/m)
  })

  it('makes snapshots and copies, and restores what was deleted', async () => {
    const [then, copy] = [`${NAME}-then`, `${NAME}-copy`]
    const made = await json('volume', 'snapshot', NAME, then)
    expect(made).toMatchObject({ name: then, copied: expect.stringMatching(/^(reflink|copy)$/) })
    const created = await e2b(['volume', 'create', copy, '--from', then])
    expect(created.stdout).toMatch(
      new RegExp(
        `^Volume ${copy} has been created .*(sharing the blocks|with a copy of all blocks) of ${then}`,
      ),
    )
    expect((await e2b(['volume', 'list'])).stdout).toMatch(new RegExp(`^${then} .* ${NAME}\\s*$`, 'm'))
    const { stderr } = await e2b(['volume', 'cp', import.meta.filename, `${then}:/x`])
    expect(stderr).toContain(`volume '${then}' is a snapshot`)
    const deleted = await e2b(['volume', 'delete', copy])
    expect(deleted.stdout).toMatch(/has been deleted; until .* `e2b volume restore vol\w+` brings it back/)
    expect((await e2b(['volume', 'list', '--deleted'])).stdout).toContain(copy)
    expect((await e2b(['volume', 'restore', copy])).stdout).toContain('has been restored')
    expect((await e2b(['volume', 'delete', '--now', copy, then])).stdout).toContain('deleted for good')
    expect((await e2b(['volume', 'list', '--deleted'])).stdout).not.toContain(copy)
    expect((await e2b(['volume', 'restore', copy])).stderr).toContain(`There is no deleted volume ${copy}`)
  })

  it('copies directories there and back, with all names and permissions', async () => {
    const source = join(folder, 'source')
    const names = ['a b', 'new\nline', Buffer.from([0x72, 0xff, 0xc3]), 'empty', 'long'.repeat(60)]
    mkdirSync(join(source, 'sub', 'none'), { recursive: true })
    for (const name of names)
      writeFileSync(
        Buffer.concat([Buffer.from(`${source}/sub/`), Buffer.from(name)]),
        name === 'empty' ? '' : name,
      )
    chmodSync(join(source, 'sub/a b'), 0o750)
    chmodSync(join(source, 'sub/none'), 0o555)
    symlinkSync('/etc/passwd', join(source, 'link'))
    const up = await e2b(['volume', 'cp', source, `${NAME}:/tree`])
    expect(up).toMatchObject({ code: 0, stderr: `${source}/link is a symbolic link, and is left out\n` })
    const back = join(folder, 'back')
    expect(await e2b(['volume', 'cp', `${NAME}:/tree`, back])).toMatchObject({ code: 0, stderr: '' })
    const of = (place: string) =>
      readdirSync(Buffer.from(`${place}/sub`), { encoding: 'buffer' })
        .map(String)
        .sort()
    expect(of(back)).toEqual(of(source))
    for (const name of names)
      expect(readFileSync(Buffer.concat([Buffer.from(`${back}/sub/`), Buffer.from(name)]))).toEqual(
        Buffer.from(name === 'empty' ? '' : name),
      )
    expect(
      [statSync(join(back, 'sub/a b')).mode, statSync(join(back, 'sub/none')).mode].map(
        (mode) => mode & 0o777,
      ),
    ).toEqual([0o750, 0o555])
    rmSync(join(source, 'sub/none'), { recursive: true })
  })

  it('continues an upload and a download where the connection broke', async () => {
    const proxy = await startUnsteadyProxy(inject('server').port)
    const env = { E2B_VOLUME_API_URL: proxy.url }
    const [file, back] = [join(folder, 'large'), join(folder, 'large-back')]
    const content = randomBytes(24 * MiB)
    writeFileSync(file, content)
    try {
      for (const paths of [
        [file, `${NAME}:/large`],
        [`${NAME}:/large`, back],
      ]) {
        proxy.cutAfter(14 * MiB)
        expect(await e2b(['volume', 'cp', ...paths], { env })).toMatchObject({
          code: 1,
          stderr: expect.stringContaining(
            'large broke off: the same command continues where this one stopped.',
          ),
        })
        await proxy.mend()
        // not enough for all of it
        proxy.cutAfter(20 * MiB)
        expect(await e2b(['volume', 'cp', ...paths], { env })).toMatchObject({ code: 0, stderr: '' })
      }
      expect(readFileSync(back).equals(content)).toBe(true)
      proxy.cutAfter(4 * MiB)
      expect(await e2b(['volume', 'cp', file, `${NAME}:/large`, '--resume'], { env })).toMatchObject({
        code: 0,
      })
    } finally {
      await proxy.close()
    }
  })

  it('is mounted into a running sandbox, and unmounted', async () => {
    const sandbox = await detached()
    try {
      const inSandbox = async (command: string) =>
        (await e2b(['sandbox', 'exec', sandbox.id, command])).stdout
      const mount = (path: string, ...more: string[]) =>
        e2b(['sandbox', 'mount', sandbox.id, NAME, path, ...more])
      expect((await mount('/mnt/data', '--read-only')).stdout).toBe(
        `Volume ${NAME} has been mounted at /mnt/data of sandbox ${sandbox.id}\n`,
      )
      expect(await inSandbox('touch /mnt/data/x 2>&1; ls /mnt/data')).toContain('Read-only file system')
      expect((await e2b(['sandbox', 'info', sandbox.id])).stdout).toContain(
        `Volume mounts: [{"name":"${NAME}","path":"/mnt/data","readOnly":true}]`,
      )
      expect((await mount('/proc')).stderr).toContain("path '/proc' is needed by the sandbox itself")
      expect((await e2b(['volume', 'delete', NAME])).stderr).toContain(sandbox.id)
      const unmount = () => e2b(['sandbox', 'unmount', sandbox.id, '/mnt/data'])
      expect(await unmount()).toMatchObject({ code: 0 })
      expect(await unmount()).toMatchObject({
        code: 1,
        stderr: expect.stringContaining('No volume is mounted at /mnt/data'),
      })
      expect(await inSandbox('ls /mnt/data')).toBe('')
    } finally {
      await sandbox.remove()
    }
  })
})
