import { existsSync, lstatSync, mkdtempSync, readdirSync, readlinkSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type StandInFolders, StandIns } from './stand-ins.ts'

const VOLUMES = [1, 3].map((slot) => ({ slot, volumeId: `v${slot}`, name: 'v', path: `/${slot}` }))
let dir: string
let standIns: StandIns
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-stand-ins-test-'))
  standIns = new StandIns(dir)
})
afterEach(() => rmdirSync(dir))

/** Fails as runsc does, whose log is JSON. */
function walk(path: string, type: string): Error {
  const msg = `restoring container \\"m\\": failed to walk "${path}" of type ${type} in mount "x:/run/sandlot/volumes": no such file`
  return new Error(`runsc restore failed for m: ${JSON.stringify({ msg, level: 'error' })}`)
}

/** Fails with each error in turn, then returns what the folders contain. */
function failing(errors: Error[]) {
  return async (folders: StandInFolders) => {
    const error = errors.shift()
    if (error) throw error
    return [...folders].map(([slot, folder]) => ({
      slot,
      folder,
      names: readdirSync(folder, { recursive: true }),
    }))
  }
}

test('what a restore misses is made, with its type and the folders above it', async () => {
  const kinds = await standIns.during(VOLUMES, async (folders) => {
    const folder = folders.get(3)
    if (!folder || !existsSync(join(folder, 'a b/f'))) throw walk('3/a b/f', '0100000')
    if (!existsSync(join(folder, 'd'))) throw walk('3/d', '040000')
    if (!readdirSync(folder).includes('l')) throw walk('3/l', '0120000')
    return { ...kindsOf(folder), slots: [...folders.keys()] }
  })
  expect(kinds).toEqual({ isFile: true, isFolder: true, target: 'gone', slots: [3] })
  expect(readdirSync(dir)).toEqual([])
})

const kindsOf = (folder: string) => ({
  isFile: lstatSync(join(folder, 'a b/f')).isFile(),
  isFolder: lstatSync(join(folder, 'd')).isDirectory(),
  target: readlinkSync(join(folder, 'l')),
})

test('a failure that names no file replaces all volumes once', async () => {
  const panic = new Error('runsc restore failed for m: EOF')
  const found = await standIns.during(VOLUMES, failing([panic, walk('1/f', '0100000')]))
  expect(found).toMatchObject([
    { slot: 1, names: ['f'] },
    { slot: 3, names: [] },
  ])
  await expect(standIns.during(VOLUMES, failing([panic, panic]))).rejects.toThrow('EOF')
})

test('a volume that was unmounted while it was in use is replaced too', async () => {
  expect(await standIns.during([], failing([walk('3/f', '0100000')]))).toMatchObject([
    { slot: 3, names: ['f'] },
  ])
})

test('other failures, and machines without volumes, are not tried again', async () => {
  await expect(standIns.during(VOLUMES, failing([new Error('no memory')]))).rejects.toThrow('no memory')
  await expect(standIns.during([], failing([new Error('EOF')]))).rejects.toThrow('EOF')
  await expect(standIns.during([], failing([walk('16/f', '0100000')]))).rejects.toThrow('failed to walk')
})

test('names that a guest chose lead nowhere outside of the folder', async () => {
  const outside = ['3/../../escaped', '3/./x', '3/l/through', '3/bad\\x', '3/']
  for (const path of outside)
    await expect(
      standIns.during(VOLUMES, failing([walk('3/l', '0120000'), ...Array(2).fill(walk(path, '0100000'))])),
    ).rejects.toThrow('failed to walk')
  expect(readdirSync(dir)).toEqual([])
  const [found] = await standIns.during(VOLUMES, failing([walk('3/a\\"\\n\\x01b', '0100000')]))
  expect(found!.names).toEqual(['a"\n\u0001b'])
})
