import { expect, test } from 'vitest'
import { runStages, type Stage } from './schedule.ts'

/** Stages that end when the test says so; `started` tells their order. */
function play(stages: Stage[], width = 2) {
  const started: string[] = []
  const ends = new Map<string, () => void>()
  const over = runStages(stages, width, ({ name }) => {
    started.push(name)
    return new Promise<void>((resolve) => ends.set(name, resolve))
  })
  const end = async (name: string) => {
    ends.get(name)!()
    await new Promise(setImmediate)
  }
  return { started, end, over }
}

const stage = (name: string, rest: Partial<Stage> = {}): Stage => ({ name, needs: [], ...rest })

test('stages start in their order, as many at a time as there is room for', async () => {
  const { started, end, over } = play([stage('a'), stage('b'), stage('c')])
  expect(started).toEqual(['a', 'b'])
  await end('b')
  expect(started).toEqual(['a', 'b', 'c'])
  await end('a')
  await end('c')
  await over
})

test('a stage waits for those that it needs, and others go ahead', async () => {
  const { started, end, over } = play([
    stage('set-up'),
    stage('unit', { needs: ['set-up', 'left out'] }),
    stage('types'),
  ])
  expect(started).toEqual(['set-up', 'types'])
  await end('types')
  expect(started).toEqual(['set-up', 'types'])
  await end('set-up')
  expect(started).toEqual(['set-up', 'types', 'unit'])
  await end('unit')
  await over
})

test('a stage that runs alone has neither earlier nor later ones beside it', async () => {
  const { started, end, over } = play([stage('a'), stage('load', { isAlone: true }), stage('b')])
  expect(started).toEqual(['a'])
  await end('a')
  expect(started).toEqual(['a', 'load'])
  await end('load')
  expect(started).toEqual(['a', 'load', 'b'])
  await end('b')
  await over
})

test('one place is for stages in the background', async () => {
  const background = { isBackground: true }
  const { started, end, over } = play(
    [stage('a'), stage('unit', background), stage('unit-postgres', background), stage('b'), stage('c')],
    3,
  )
  expect(started).toEqual(['a', 'unit', 'b'])
  await end('unit')
  expect(started).toEqual(['a', 'unit', 'b', 'unit-postgres'])
  await end('a')
  expect(started.at(-1)).toBe('c')
  for (const name of ['b', 'c', 'unit-postgres']) await end(name)
  await over
})

test('the place of the background is free for others when no such stage is left', async () => {
  const { started, end, over } = play(
    [stage('a'), stage('b'), stage('unit', { isBackground: true }), stage('c'), stage('d')],
    3,
  )
  expect(started).toEqual(['a', 'b', 'unit'])
  await end('unit')
  expect(started).toEqual(['a', 'b', 'unit', 'c'])
  await end('a')
  expect(started.at(-1)).toBe('d')
  for (const name of ['b', 'c', 'd']) await end(name)
  await over
})

test('stages that need each other are an error', async () => {
  const { over } = play([stage('a', { needs: ['b'] }), stage('b', { needs: ['a'] })])
  await expect(over).rejects.toThrow('wait for each other: a, b')
})
