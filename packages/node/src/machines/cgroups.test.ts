import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Cgroups, canLimitSwap, canWeighDisk } from './cgroups.ts'

/** Folder with cgroup files as kernels of both versions show them; only the existence of files matters. */
let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sandlot-cgroups-'))
})
afterEach(() => rmSync(root, { recursive: true }))

function files(dir: string, contents: Record<string, string>): void {
  mkdirSync(join(root, dir), { recursive: true })
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(root, dir, name), content)
}
const read = (path: string): string => readFileSync(join(root, path), 'utf8')

test('cgroups v1: where the kernel has disk weights, all machines together have less than the rest of the host', async () => {
  files('memory', {})
  files('cpu/sandlot-x/m1', { 'cpu.shares': '64' })
  files('blkio/sandlot-x/m1', { 'blkio.bfq.weight': '100' })
  files('blkio/sandlot-x', { 'blkio.bfq.weight': '100' })
  const cgroups = new Cgroups('v1', root)
  await cgroups.setCpuShares('sandlot-x/m1', 1024)
  expect(read('cpu/sandlot-x/m1/cpu.shares')).toBe('1024')
  expect(read('blkio/sandlot-x/blkio.bfq.weight')).toBe('50')
  expect(canWeighDisk('v1', root)).toBe(true)
})

test('cgroups v2: where the kernel has disk weights, all machines together have less than the rest of the host', async () => {
  files('sandlot-x', { 'io.weight': 'default 100', 'memory.swap.max': 'max' })
  files('sandlot-x/m1', { 'cpu.weight': '6' })
  const cgroups = new Cgroups('v2', root)
  await cgroups.setCpuShares('sandlot-x/m1', 1024)
  expect(read('sandlot-x/m1/cpu.weight')).toBe('100')
  expect(read('sandlot-x/io.weight')).toBe('50')
  expect([cgroups.canLimitSwap, canWeighDisk('v2', root)]).toEqual([true, true])
})

test.each([
  ['v1', 'blkio/', 'blkio.bfq.weight'],
  ['v2', '', 'io.weight'],
] as const)(
  'a machine of a build has a lower disk weight than its siblings (%s)',
  async (version, dir, file) => {
    files('memory', {})
    for (const name of ['m1', 'm2']) files(`${dir}sandlot-x/${name}`, { [file]: '100' })
    await new Cgroups(version, root).giveWayForDisk('sandlot-x/m1')
    expect([read(`${dir}sandlot-x/m1/${file}`), read(`${dir}sandlot-x/m2/${file}`)]).toEqual(['10', '100'])
  },
)

test('kernels without these controllers cause no error', async () => {
  files('memory', {})
  files('cpu', {})
  files('blkio/sandlot-x', {})
  const cgroups = new Cgroups('v1', root)
  await cgroups.setCpuShares('sandlot-x/m1', 1024)
  expect([cgroups.canLimitSwap, canWeighDisk('v1', root)]).toEqual([false, false])
  files('memory', { 'memory.memsw.limit_in_bytes': '-1' })
  expect([canLimitSwap('v1', root), canLimitSwap('v2', root), canLimitSwap('none', root)]).toEqual([
    true,
    false,
    false,
  ])
})
