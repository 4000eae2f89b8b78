import { expect, test } from 'vitest'
import { mountsBelow } from './unmount-below.ts'

const info = [
  '22 1 0:20 / /proc rw - proc proc rw',
  '30 1 0:30 / /srv/a rw - tmpfs x rw',
  '31 30 0:31 / /srv/a/run/x\\040y rw - tmpfs x rw',
  '32 1 0:32 / /srv/ab rw - tmpfs x rw',
].join('\n')

test('mounts below a folder are listed deepest first, with their real names', () => {
  expect(mountsBelow('/srv/a', info)).toEqual(['/srv/a/run/x y', '/srv/a'])
})

test('a folder is left alone when only the beginning of the name is equal', () => {
  expect(mountsBelow('/srv/ab', info)).toEqual(['/srv/ab'])
})
