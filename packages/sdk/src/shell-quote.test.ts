import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { packageWords, shellQuote } from './shell-quote.ts'

const words = ['plain', 'a b', "it's", '$HOME', '`id`', '*', '', 'a\nb', '"', '\\', 'ü', '-n']

test.each(words)('%j reaches the command as one word', (word) => {
  const printed = execFileSync('bash', ['-c', `printf '<%s>' ${shellQuote(word)}`], { encoding: 'utf8' })
  expect(printed).toBe(`<${word}>`)
})

test('words without special characters stay readable', () => {
  expect(shellQuote('https://x.dev/y@1,2:3=4+5%6-7_8.git')).toBe('https://x.dev/y@1,2:3=4+5%6-7_8.git')
})

test('a version range is quoted, several packages in one string and options are not', () => {
  expect(packageWords('numpy>=2')).toEqual(["'numpy>=2'"])
  expect(packageWords(['uvicorn[standard]', '-r requirements.txt', 'react@^19', 'lodash@<5'])).toEqual([
    'uvicorn[standard]',
    '-r requirements.txt',
    'react@^19',
    "'lodash@<5'",
  ])
})
