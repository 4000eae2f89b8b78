import type { BuildStep } from '@sandlot/protocol/node'
import { expect, test } from 'vitest'
import { environmentAfter, expand, INITIAL_ENVIRONMENT, layerKey, resolveIn, servicesOf } from './recipe.ts'

const environment = { defaultUser: 'user', envVars: { A: 'one', EMPTY: '' } }

test.each([
  ['$A/two', 'one/two'],
  ['${A}two', 'onetwo'],
  ['$A$A', 'oneone'],
  ['/x:$PATH', '/x:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
  ['$HOME/$USER', '/home/user/user'],
  ['[$NONE]', '[]'],
  ['${NONE:-d}', 'd'],
  ['${EMPTY:-d}${EMPTY-d}', 'd'],
  ['${A:+set}${NONE:+set}', 'set'],
  ['\\$A', '$A'],
  ['$(id) `id` $1 50$', '$(id) `id` $1 50$'],
])('%s becomes %s', (value, expanded) => {
  expect(expand(value, environment)).toBe(expanded)
})

test('a variable named like a member of every object is not set', () => {
  expect(expand('[$constructor$toString]', environment)).toBe('[]')
})

test('values are expanded in linear time', () => {
  // processor time, as the time of a clock says little on a busy machine; quadratic work would take minutes
  const start = process.threadCpuUsage()
  expect(expand('${a-'.repeat(16_000), environment)).toHaveLength(64_000)
  const values = Array.from({ length: 500 }, (_, i): [string, string] => [`v${i}`, ''])
  let after = environment as Parameters<typeof environmentAfter>[0]
  for (let step = 0; step < 100; step++)
    after = environmentAfter(after, { type: 'ENV', force: false, values })
  const { user, system } = process.threadCpuUsage(start)
  expect((user + system) / 1000).toBeLessThan(5_000)
})

test('an environment has at most 1000 variables', () => {
  const values = Array.from({ length: 1_001 }, (_, i): [string, string] => [`v${i}`, ''])
  expect(() => environmentAfter(INITIAL_ENVIRONMENT, { type: 'ENV', force: false, values })).toThrow(
    'would have 1001 variables, at most 1000 are allowed',
  )
})

test('a variable sees earlier ones, also of the same step', () => {
  const step: BuildStep = {
    type: 'ENV',
    force: false,
    values: [
      ['B', '$A!'],
      ['C', '$B$D'],
      ['D', 'late'],
    ],
  }
  expect(environmentAfter(environment, step).envVars).toMatchObject({ B: 'one!', C: 'one!', D: 'late' })
})

test.each([
  ['/abs', '/abs'],
  ['rel/x', '/srv/rel/x'],
  ['./a/../b/', '/srv/b'],
  ['../../..', '/'],
  ['~/x', '/home/user/x'],
])('%s is %s', (path, absolute) => {
  expect(resolveIn({ ...environment, defaultWorkdir: '/srv' }, path)).toBe(absolute)
})

test('the default working directory is the home of the user', () => {
  expect(resolveIn(INITIAL_ENVIRONMENT, 'x')).toBe('/home/user/x')
  expect(resolveIn({ ...INITIAL_ENVIRONMENT, defaultUser: 'root' }, '.')).toBe('/root')
})

test('equal steps on equal parents have the same key; force does not matter', () => {
  const run = (command: string, force = false): BuildStep => ({ type: 'RUN', command, force })
  expect(layerKey('p', run('x', true))).toBe(layerKey('p', run('x')))
  expect(layerKey('p', run('y'))).not.toBe(layerKey('p', run('x')))
  expect(layerKey('q', run('x'))).not.toBe(layerKey('p', run('x')))
})

test('variables that double each other are limited to 64 KiB, in one step and over many', () => {
  const doubled: Array<[string, string]> = Array.from({ length: 60 }, () => ['A', '$A$A'])
  const once: BuildStep = { type: 'ENV', force: false, values: [['A', 'laughs'], ...doubled] }
  expect(() => environmentAfter(INITIAL_ENVIRONMENT, once)).toThrow('at most 65536 (64 KiB)')
  const many: BuildStep = { type: 'ENV', force: false, values: [['B', '$A'.repeat(30_000)]] }
  const rootfs = { ...INITIAL_ENVIRONMENT, envVars: { A: 'x'.repeat(60_000) } }
  expect(() => environmentAfter(rootfs, many)).toThrow('at most 65536 (64 KiB)')
  const another: BuildStep = { type: 'ENV', force: false, values: [['B', 'y'.repeat(6_000)]] }
  expect(() => environmentAfter(rootfs, another)).toThrow('the environment would have 66002 bytes')
})

test.each([
  ['apt-get update && apt-get install -y --no-install-recommends curl openssh-server', ['ssh']],
  ['apt-get install -y openssh-client', []],
  ['echo openssh-server', []],
])('the services of a template with the step %s', (command, services) => {
  expect(servicesOf([{ type: 'RUN', command, force: false }])).toEqual(services)
})
