import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { python } from './python.ts'

const { add, change, enter, leave } = python.environment!
const folder = join(import.meta.dirname, '../../python')

const run = (...lines: string[]): unknown =>
  JSON.parse(
    execFileSync(
      'python3',
      ['-c', ['import os, json, random', 'seen = []', ...lines, 'print(json.dumps(seen))'].join('\n')],
      {
        env: { PATH: process.env.PATH, PYTHONPATH: folder, PYTHONDONTWRITEBYTECODE: '1', OLD: 'old' },
      },
    ).toString(),
  )
const show = 'seen.append([os.environ.get("A"), os.environ.get("OLD")])'

test('variables of one execution are removed, and earlier values restored', () => {
  const own = { A: `it's\n"☃😀" \\`, OLD: 'new' }
  expect(run(enter(own), show, leave(own), show)).toEqual([
    [own.A, 'new'],
    [null, 'old'],
  ])
})

test('variables of the sandbox are set and removed permanently', () => {
  expect(run(change({ A: '1', OLD: undefined }), show)).toEqual([['1', null]])
})

test('a variable is added only where it is not set', () => {
  expect(run(add({ A: '1', OLD: 'new' }), show)).toEqual([['1', 'old']])
})

test('random numbers are reseeded for the first sandbox, and not afterwards', () => {
  const first = change({ E2B_SANDBOX_ID: 'a' })
  const draw = 'seen.append(random.random())'
  const [fresh, kept] = run(
    'random.seed(1)',
    first,
    draw,
    'random.seed(1)',
    change({ E2B_SANDBOX_ID: 'b' }),
    draw,
  ) as number[]
  const [seeded] = run('random.seed(1)', draw) as number[]
  expect(fresh).not.toBe(seeded)
  expect(kept).toBe(seeded)
})
