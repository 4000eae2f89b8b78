import { expect, test } from 'vitest'
import { volumeSizeArgument } from '../options/volume-size.ts'
import { copiedHow, volumeLines } from './describe.ts'

const VOLUME = { volumeId: 'vol1', name: 'data', token: 'x', createdAt: new Date(0), sizeMB: 10_240 }

test('a volume is described by its size and what it uses', () => {
  const lines = volumeLines({ ...VOLUME, usedMB: 512, isSizeLimited: true })
  expect(lines.slice(0, 4)).toEqual([
    'Volume ID:   vol1',
    'Name:        data',
    'Size:        10.0 GiB',
    'Used:        512.0 MiB',
  ])
})

test('a volume that is a folder has no size of its own', () => {
  expect(volumeLines({ ...VOLUME, isSizeLimited: false }).slice(2, 4)).toEqual([
    'Size:        not limited (a folder of the server; 10.0 GiB count towards the limit of the team)',
    'Used:        the server cannot tell for a folder',
  ])
})

test('a snapshot names its source, and another server sends an id and a name only', () => {
  expect(volumeLines({ ...VOLUME, snapshotOf: 'vol0' }, 'old').at(-1)).toBe('Snapshot of: old')
  expect(volumeLines({ volumeId: 'vol1', name: 'data', token: 'x' })).toEqual([
    'Volume ID:   vol1',
    'Name:        data',
  ])
})

test('sizes have a unit', () => {
  expect(['500M', '20g', '1TiB', '3GB'].map(volumeSizeArgument)).toEqual([500, 20_480, 1_048_576, 3072])
  for (const text of ['', '20', '0G', '1.5G', '-1G', '20K'])
    expect(() => volumeSizeArgument(text)).toThrow('500M or 20G')
})

test('a copy says how it was made', () => {
  expect(copiedHow('reflink', 'data')).toBe(', sharing the blocks of data')
  expect(copiedHow('copy', 'data')).toBe(', with a copy of all blocks of data')
  expect(copiedHow(undefined, undefined)).toBe('')
})
