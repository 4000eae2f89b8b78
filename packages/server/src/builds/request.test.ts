import { expect, test } from 'vitest'
import { checkResources, loginOf, parseStep } from './request.ts'

const hash = 'a'.repeat(64)

test('steps of all types are read', () => {
  expect(parseStep({ type: 'RUN', args: ['ls', 'root'], force: true }, 1)).toEqual({
    type: 'RUN',
    force: true,
    command: 'ls',
    user: 'root',
  })
  expect(parseStep({ type: 'ENV', args: ['A', '1', 'B', ''] }, 1)).toMatchObject({
    values: [
      ['A', '1'],
      ['B', ''],
    ],
  })
  expect(parseStep({ type: 'USER', args: ['me', 'true'] }, 1)).toMatchObject({ user: 'me', hasSudo: true })
  expect(parseStep({ type: 'WORKDIR', args: ['x'] }, 1)).toMatchObject({ path: 'x' })
  expect(parseStep({ type: 'COPY', args: ['a', 'b', 'u:g', '0755'], filesHash: hash }, 1)).toMatchObject({
    source: 'a',
    target: 'b',
    owner: 'u:g',
    mode: '0755',
    filesHash: hash,
  })
})

test.each([
  [{ type: 'RUN', args: [] }, 'args[0], the command, is missing'],
  [{ type: 'ENV', args: ['A'] }, 'pairs of name and value'],
  [{ type: 'ENV', args: ['A B', 'x'] }, "'A B' is not a name of a variable"],
  [{ type: 'WORKDIR' }, 'the path, is missing'],
  [{ type: 'USER', args: ['a b'] }, "'a b' is not a user name"],
  [{ type: 'COPY', args: ['../x', 'y'], filesHash: hash }, 'not a path inside the context folder'],
  [{ type: 'COPY', args: ['/x', 'y'], filesHash: hash }, 'not a path inside the context folder'],
  [{ type: 'COPY', args: ['x', 'y', '', '9'], filesHash: hash }, 'not an octal mode'],
  [{ type: 'COPY', args: ['x', 'y', 'a;b'], filesHash: hash }, 'not user or user:group'],
  [{ type: 'COPY', args: ['x', 'y'] }, 'filesHash'],
  [{ type: 'ADD', args: ['x', 'y'] }, 'not known: use COPY, RUN, ENV, WORKDIR or USER'],
])('step %j is refused with its number', (step, message) => {
  expect(() => parseStep(step, 4)).toThrow(`step 4 (${step.type}): `)
  expect(() => parseStep(step, 4)).toThrow(message)
})

test('a Google service account becomes a password, AWS keys are kept to get a token of ECR', () => {
  expect(loginOf({ type: 'gcp', serviceAccountJson: '{}' })).toEqual({
    username: '_json_key',
    password: '{}',
  })
  expect(loginOf(undefined)).toBeUndefined()
  const keys = { awsAccessKeyId: 'AKIA1', awsSecretAccessKey: 's', awsRegion: 'eu-central-1' }
  expect(loginOf({ type: 'aws', ...keys })).toEqual(keys)
})

test('CPUs are one or even, memory is even', () => {
  checkResources({ cpuCount: 1, memoryMB: 128 })
  checkResources({ cpuCount: 4, memoryMB: 512 })
  expect(() => checkResources({ cpuCount: 3, memoryMB: 512 })).toThrow(
    'CPU count must be 1 or an even number',
  )
  expect(() => checkResources({ cpuCount: 2, memoryMB: 513 })).toThrow('Memory must be divisible by 2')
})
