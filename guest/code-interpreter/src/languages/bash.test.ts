import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { bash } from './bash.ts'

const { add, change, enter, leave } = bash.environment!

/** Returns the output of a real shell for both variables at each `show`. */
const run = (...pieces: string[]): string[] =>
  execFileSync('bash', ['-c', pieces.join('\n')], { env: { PATH: process.env.PATH, EMPTY: '' } })
    .toString()
    .trimEnd()
    .split('\n')
const show = `echo "$A/\${A+set}/\${EMPTY+set}"`

test('variables of one execution are removed, and earlier values restored', () => {
  const own = { A: `it's "$HOME" \\ !!`, EMPTY: 'x' }
  expect(run(enter(own), show, leave(own), show)).toEqual([`it's "$HOME" \\ !!/set/set`, '//set'])
  expect(run('A=old', enter({ A: 'new' }), show, leave({ A: 'new' }), show)).toEqual([
    'new/set/set',
    'old/set/set',
  ])
})

test('a variable is set permanently, or removed', () => {
  expect(run(change({ A: '1' }), show, change({ A: undefined }), show)).toEqual(['1/set/set', '//set'])
})

test('a variable is added only where it is not set', () => {
  expect(run(add({ A: `it's`, EMPTY: 'x' }), show, add({ A: 'other' }), show)).toEqual([
    `it's/set/set`,
    `it's/set/set`,
  ])
})

test('a name that is invalid in bash is left out, and is not run', () => {
  expect(run(change({ 'a;echo injected': '1', 'x-y': '2', A: '3' }), show)).toEqual(['3/set/set'])
})
