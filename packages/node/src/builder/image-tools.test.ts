import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { checkScript, installScript, knownTools, TOOLS } from './image-tools.ts'

const all = TOOLS.map(({ name }) => name)

test('the scripts run in any POSIX shell', () => {
  for (const script of [checkScript(), installScript(all), installScript(['git'])])
    execFileSync('sh', ['-n', '-c', script])
})

test('only names of known tools are accepted from a guest, in the order of the table', () => {
  expect(knownTools(['ss', 'rm -rf /', '', 'bash', 'ss'])).toEqual(['bash', 'ss'])
})

test('only missing tools are installed, by their names in each distribution', () => {
  const script = installScript(['ss', 'fusermount3', 'mount.nfs'])
  expect(script.match(/^set -- .*/gm)).toEqual([
    'set -- fuse3 nfs-common iproute2',
    'set -- fuse3 nfs-utils iproute2',
    'set -- fuse3 nfs-utils iproute',
  ])
})

test('a tool without a command is missing', () => {
  const missing = execFileSync('/bin/sh', ['-c', checkScript()], { env: { PATH: '/nowhere' } })
  expect(knownTools(missing.toString().split('\n'))).toEqual(
    expect.arrayContaining(['git', 'ss', 'tar of GNU']),
  )
})
