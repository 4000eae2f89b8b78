import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CheckpointFolder } from './checkpoint-folder.ts'

const ID = `c${'a'.repeat(20)}`
const OTHER = `c${'b'.repeat(20)}`
const described = {
  hasMemory: true,
  engineVersion: 'release-1',
  resources: { cpuCount: 2, memoryMB: 512, diskSizeMB: 1024 },
  imagePath: '/image',
  guestDir: '/guest',
  cpuFeatures: ['aes'],
}

let dir: string
let folder: CheckpointFolder
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-checkpoints-'))
  folder = new CheckpointFolder(dir)
  await folder.prepare()
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

function save(path: string, text: string): void {
  mkdirSync(path, { recursive: true })
  writeFileSync(join(path, 'pages.img'), text)
}
const write = (id = ID, text = 'memory') =>
  folder.write(id, described, async ({ memoryDir }) => save(memoryDir, text))

describe('a checkpoint', () => {
  test('is listed with its size and requirements once it is complete', async () => {
    let during: string[] = []
    const manifest = await folder.write(ID, described, async ({ memoryDir }) => {
      save(memoryDir, '12345')
      during = await folder.list()
    })
    expect(during).toEqual([])
    expect(await folder.list()).toEqual([ID])
    expect(manifest).toMatchObject({ ...described, checkpointId: ID, sizeBytes: 5 })
    expect(await folder.read(ID)).toEqual(manifest)
  })

  test('with volumes that no node could have written is damaged', async () => {
    const volume = { slot: 3, volumeId: 'v', name: 'data', path: '/mnt/data' }
    const writeWith = (volumes: unknown) =>
      folder.write(ID, { ...described, volumes: volumes as [] }, async ({ memoryDir }) =>
        save(memoryDir, 'x'),
      )
    await writeWith([volume])
    expect(await folder.read(ID)).toMatchObject({ volumes: [volume] })
    for (const wrong of [{ slot: 16 }, { slot: '../1' }, { path: 'relative' }, { volumeId: 1 }]) {
      await writeWith([{ ...volume, ...wrong }])
      await expect(folder.read(ID)).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
    }
  })

  test('that could not be written leaves no files, and the caller gets the error', async () => {
    const failing = folder.write(ID, described, async ({ memoryDir }) => {
      save(memoryDir, 'half')
      throw new Error('no space left')
    })
    await expect(failing).rejects.toThrow('no space left')
    expect(readdirSync(dir)).toEqual([])
    await write()
    expect(await folder.list()).toEqual([ID])
  })

  test('is removed at once and completely; removing a missing one is not an error', async () => {
    await write()
    await folder.remove(ID)
    await folder.remove(OTHER)
    expect(readdirSync(dir)).toEqual([])
  })

  test('that is unknown is not found; a checkpoint with an unreadable manifest is damaged', async () => {
    await expect(folder.read(OTHER)).rejects.toMatchObject({ errorName: 'not_found' })
    await write()
    truncateSync(join(dir, ID, 'manifest.json'), 5)
    await expect(folder.read(ID)).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
  })

  test.each(['../x', '', '.', 'C'.repeat(21), `${ID}/..`])('is never looked for at %j', async (id) => {
    writeFileSync(join(dir, '..', 'x'), '', { flag: 'a' })
    for (const act of [() => folder.read(id), () => folder.remove(id), () => write(id)])
      await expect(act()).rejects.toMatchObject({ errorName: 'not_found' })
    rmSync(join(dir, '..', 'x'))
  })
})

describe('a checkpoint that is written again', () => {
  const textOf = (id: string) => readFileSync(join(folder.paths(id).memoryDir, 'pages.img'), 'utf8')

  test('has the new files and nothing else', async () => {
    await write(ID, 'old')
    await write(ID, 'new')
    expect(textOf(ID)).toBe('new')
    expect(readdirSync(dir)).toEqual([ID])
  })

  test('keeps the old files when the new ones cannot be written', async () => {
    await write(ID, 'old')
    const failing = folder.write(ID, described, async () => {
      throw new Error('no room')
    })
    await expect(failing).rejects.toThrow('no room')
    expect(textOf(ID)).toBe('old')
  })

  test('has the old files again after a crash just before the rename', async () => {
    await write(ID, 'old')
    renameSync(join(dir, ID), join(dir, `.replaced-${ID}`))
    await folder.prepare()
    expect(textOf(ID)).toBe('old')
  })

  test('has the new files after a crash just after the rename', async () => {
    await write(ID, 'new')
    cpSync(join(dir, ID), join(dir, `.replaced-${ID}`), { recursive: true })
    await folder.prepare()
    expect(readdirSync(dir)).toEqual([ID])
  })
})

test('the next start removes half-written and half-removed files of a crash, and keeps complete checkpoints', async () => {
  await write()
  for (const name of [`.writing-${OTHER}`, `.removing-${OTHER}`]) save(join(dir, name, 'memory'), 'half')
  await folder.prepare()
  expect(readdirSync(dir)).toEqual([ID])
})

describe('files that are added later', () => {
  test('appear completely', async () => {
    await write()
    expect(await folder.hasFiles(ID)).toBe(false)
    await folder.addFiles(ID, async (filesDir) => {
      save(filesDir, 'files')
      expect(await folder.hasFiles(ID)).toBe(false)
    })
    expect(await folder.hasFiles(ID)).toBe(true)
    expect(existsSync(join(folder.paths(ID).filesDir, 'pages.img'))).toBe(true)
  })

  test('leave no files when they fail, and do not change the memory', async () => {
    await write()
    const failing = folder.addFiles(ID, async (filesDir) => {
      save(filesDir, 'half')
      throw new Error('no space left')
    })
    await expect(failing).rejects.toThrow('no space left')
    expect(readdirSync(join(dir, ID)).sort()).toEqual(['manifest.json', 'memory'])
  })
})

describe('a sealed checkpoint', () => {
  const pages = () => join(folder.paths(ID).memoryDir, 'pages.img')
  beforeEach(async () => {
    await write(ID, 'x'.repeat(100_000))
    await folder.addFiles(ID, async (filesDir) => save(filesDir, 'files'))
    await folder.seal(ID)
  })

  test('passes while it is unchanged', async () => {
    await folder.verify(ID, 'memory')
    await folder.verify(ID, 'files')
  })

  test.each([
    ['cut off', () => truncateSync(pages(), 99_999), '99999 bytes, not 100000'],
    ['longer', () => appendFileSync(pages(), 'y'), '100001 bytes, not 100000'],
    ['gone', () => rmSync(pages()), 'pages.img is missing'],
    [
      'flipped in one bit',
      () => writeFileSync(pages(), `${'x'.repeat(50_000)}y${'x'.repeat(49_999)}`),
      'has changed',
    ],
  ])('is reported as damaged when a file is %s', async (_, damage, message) => {
    damage()
    await expect(folder.verify(ID, 'memory')).rejects.toMatchObject({
      errorName: 'checkpoint_damaged',
      message: expect.stringContaining(message),
    })
    await folder.verify(ID, 'files')
  })

  test('is verified once for many starts, until its files are replaced', async () => {
    await Promise.all([folder.verifyOnce(ID, 'memory'), folder.verifyOnce(ID, 'memory')])
    truncateSync(pages(), 1)
    await folder.verifyOnce(ID, 'memory')
    await folder.replace(ID, async (dir) => {
      cpSync(join(folder.dirOf(ID)), dir, { recursive: true })
    })
    await expect(folder.verifyOnce(ID, 'memory')).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
    await folder.remove(ID)
    await write()
    await folder.verifyOnce(ID, 'memory')
  })

  test('that was damaged is verified again by the next caller', async () => {
    truncateSync(pages(), 1)
    for (let i = 0; i < 2; i++)
      await expect(folder.verifyOnce(ID, 'memory')).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
  })

  test('whose checksums cannot be read is damaged', async () => {
    truncateSync(join(dir, ID, 'checksums.json'), 5)
    await expect(folder.verify(ID, 'memory')).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
  })

  test('may be sealed again with files that were added later', async () => {
    appendFileSync(pages(), 'y')
    await folder.seal(ID)
    await folder.verify(ID, 'memory')
    expect(readdirSync(join(dir, ID)).sort()).toEqual(['checksums.json', 'files', 'manifest.json', 'memory'])
  })
})

test('a checkpoint that was never sealed passes', async () => {
  await write()
  truncateSync(join(folder.paths(ID).memoryDir, 'pages.img'), 1)
  await folder.verify(ID, 'memory')
  await folder.verifyOnce(ID, 'memory')
  await folder.seal(ID)
  truncateSync(join(folder.paths(ID).memoryDir, 'pages.img'), 0)
  await expect(folder.verifyOnce(ID, 'memory')).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
})
