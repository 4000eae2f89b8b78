import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { holdNames, releaseNames } from './held-names.ts'
import { nameFileOf, namesFor } from './instance-names.ts'

const folder = mkdtempSync(join(tmpdir(), 'sandlot-held-names-'))
const claims = join(folder, 'claims')
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const hashOf = (home: string) => createHash('sha256').update(home).digest('hex').slice(0, 4)

/** Makes homes whose paths have one hash. */
function homesOfOneHash(count: number): string[] {
  const found = new Map<string, string[]>()
  for (let number = 0; ; number++) {
    const home = join(folder, `home-${number}`)
    const homes = [...(found.get(hashOf(home)) ?? []), home]
    found.set(hashOf(home), homes)
    if (homes.length < count) continue
    for (const path of homes) mkdirSync(path, { recursive: true })
    return homes
  }
}
const after = (name: string) => ((Number.parseInt(name, 16) + 1) % 0x1_0000).toString(16).padStart(4, '0')

test('homes of one hash get different names, whatever order they start in, and keep them', async () => {
  const [a, b, c] = homesOfOneHash(3) as [string, string, string]
  const first = hashOf(a)
  expect((await holdNames(b, claims)).instance).toBe(first)
  expect((await holdNames(a, claims)).instance).toBe(after(first))
  expect((await holdNames(c, claims)).instance).toBe(after(after(first)))
  // a restart, also of a server that was killed
  for (const [home, name] of [
    [a, after(first)],
    [b, first],
    [c, after(after(first))],
  ] as const) {
    expect((await holdNames(home, claims)).instance).toBe(name)
    expect(namesFor(home)).toMatchObject({ instance: name, nftTable: `sandlot_${name}` })
  }
})

test('a name is free again when the machines of its home are removed, and other names stay held', async () => {
  const [a, b] = homesOfOneHash(2) as [string, string]
  await holdNames(a, claims)
  const names = await holdNames(b, claims)
  await releaseNames(b, names, claims)
  expect(readdirSync(claims)).toEqual([hashOf(a)])
  await releaseNames(b, namesFor(a), claims)
  expect(readdirSync(claims)).toEqual([hashOf(a)])
})

test('after a boot, homes have the names that they had, and a home whose name is taken gets the next one', async () => {
  const [a, b, c] = homesOfOneHash(3) as [string, string, string]
  const first = hashOf(a)
  await holdNames(a, claims)
  await holdNames(b, claims)
  rmSync(claims, { recursive: true })
  expect((await holdNames(b, claims)).instance).toBe(after(first))
  expect((await holdNames(c, claims)).instance).toBe(first)
  expect((await holdNames(a, claims)).instance).toBe(after(after(first)))
})

test('a copy of a home gets a name of its own, and another path to a home does not', async () => {
  const [a] = homesOfOneHash(1) as [string]
  const { instance } = await holdNames(a, claims)
  const copy = join(folder, 'copy')
  cpSync(a, copy, { recursive: true })
  expect((await holdNames(copy, claims)).instance).toBe(after(instance))
  const link = join(folder, 'link')
  symlinkSync(a, link)
  expect((await holdNames(link, claims)).instance).toBe(instance)
})

test('a home that does not exist is not made', async () => {
  const home = join(folder, 'none')
  const names = await holdNames(home, claims)
  expect(names.instance).toBe(hashOf(home))
  await releaseNames(home, names, claims)
  expect(readdirSync(folder)).toEqual(['claims'])
})

test('a home that was removed by hand is still found by its path, to remove its machines', async () => {
  const [a, b] = homesOfOneHash(2) as [string, string]
  const names = await holdNames(a, claims)
  await holdNames(b, claims)
  await releaseNames(a, names, claims)
  rmSync(b, { recursive: true })
  expect((await holdNames(b, claims)).instance).toBe(after(names.instance))
  const link = join(folder, 'link')
  symlinkSync(folder, link)
  const c = join(link, 'home-c')
  mkdirSync(c)
  const { instance } = await holdNames(c, claims)
  rmSync(c, { recursive: true })
  expect((await holdNames(c, claims)).instance).toBe(instance)
})

test('a home is not written to when it has the name of its record, as its disk may be full', async () => {
  const [a] = homesOfOneHash(1) as [string]
  await holdNames(a, claims)
  const { ino } = statSync(nameFileOf(a))
  await holdNames(a, claims)
  expect(statSync(nameFileOf(a)).ino).toBe(ino)
})

test('a home on a full disk gets its name all the same when no record is needed to find it again', async () => {
  const [a] = homesOfOneHash(1) as [string]
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', a])
  try {
    const names = await holdNames(a, claims)
    expect(names.instance).toBe(hashOf(a))
    await releaseNames(a, names, claims)
  } finally {
    execFileSync('umount', [a])
  }
})

test('homes that start at once get different names', async () => {
  const homes = homesOfOneHash(3)
  const names = await Promise.all(homes.map((home) => holdNames(home, claims)))
  expect(new Set(names.map(({ instance }) => instance)).size).toBe(homes.length)
})
