import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { flatten } from './flatten.ts'
import { PACK_OPTIONS } from './pack.ts'

const home = mkdtempSync(join(tmpdir(), 'sandlot-flatten-'))
afterAll(() => rmSync(home, { recursive: true }))

const sh = (script: string): string =>
  execFileSync('unshare', ['--mount', 'bash', '-ec', script], {
    cwd: home,
    encoding: 'utf8',
    timeout: 20_000,
  })

test('deletions of what is below are applied, those of what never was are dropped', async () => {
  for (const folder of ['below/kept', 'layer/kept', 'layer/new', 'work'])
    mkdirSync(join(home, folder), { recursive: true })
  for (const file of ['below/kept/old', 'below/kept/gone', 'layer/new/file'])
    writeFileSync(join(home, file), file)
  sh(`mkfs.erofs --quiet ${PACK_OPTIONS.join(' ')} below.erofs below
      mknod layer/kept/gone c 0 0; mknod layer/kept/never c 0 0; mknod layer/new/never c 0 0; mknod layer/new/null c 1 3
      bsdtar -cf layer.tar -C layer .`)
  await flatten(
    ...(['below.erofs', 'layer.tar', 'work', 'both.erofs'].map((name) => join(home, name)) as Paths),
  )
  const found = sh(
    'mount -t erofs -o ro,loop both.erofs /mnt && cd /mnt && find . -mindepth 2 -printf "%y %P\\n" | sort',
  )
  expect(found.trim().split('\n')).toEqual(['c new/null', 'f kept/old', 'f new/file'])
})

type Paths = [image: string, layer: string, work: string, target: string]
