import { expect, test } from 'vitest'
import { copyStep, envStep, runStep, userStep } from '../step.ts'
import { readDockerfile } from './read.ts'
import { writeDockerfile } from './write.ts'

test('the written Dockerfile has the steps of the template', () => {
  const steps = [
    copyStep('a b', '/x', { user: 'u:g', mode: 0o755 }),
    copyStep('c', '/d/'),
    envStep([
      ['A', '1'],
      ['B', 'x "y"'],
      ['C', '\\$D'],
      ['E', '$A/z'],
    ]),
    runStep('set -e\necho   x'),
    runStep('true && false'),
  ]
  const written = writeDockerfile('python:3', [userStep('root'), ...steps], 'exec node x')
  const read = readDockerfile(written)
  expect(read.fromImage).toBe('python:3')
  expect(read.startCmd).toBe('exec node x')
  const argsOf = (list: { args: string[] }[]) => list.map(({ args }) => args)
  expect(argsOf(read.steps.slice(3, -1))).toEqual(argsOf(steps))
})

test('a step of another user is written between two USER instructions once the user is known', () => {
  const steps = [runStep('a', 'root'), userStep('u'), runStep('b', 'root'), runStep('c', 'u')]
  expect(writeDockerfile('x', steps)).toBe('FROM x\nRUN a\nUSER u\nUSER root\nRUN b\nUSER u\nRUN c\n')
})
