import { execFileSync } from 'node:child_process'
import { expect, test } from 'vitest'
import { quote, scriptOf, withoutGlob } from './step-script.ts'

test.each([
  ['src', 'src'],
  ['./src/', 'src'],
  ['.', ''],
  ['src/*.txt', 'src'],
  ['*.json', ''],
  ['a/**/b/c?.js', 'a'],
  ['pkg/{a,b}', 'pkg'],
])('the part of %s before the pattern is %s', (source, rest) => {
  expect(withoutGlob(source)).toBe(rest)
})

test('nothing in a quoted text is interpreted by bash', () => {
  const text = `it's $HOME \`id\` "x" \\ ; rm -rf /`
  expect(execFileSync('bash', ['-c', `printf %s ${quote(text)}`]).toString()).toBe(text)
})

test('scripts of all steps are valid bash, whatever the steps contain', () => {
  const environment = { defaultUser: 'user', defaultWorkdir: "/a b'c", envVars: {} }
  const word = `x'"$(false)`
  for (const step of [
    { type: 'COPY', source: word, target: word, owner: 'a:b', mode: '0755', filesHash: '', force: false },
    { type: 'WORKDIR', path: word, force: false },
    { type: 'USER', user: 'a', hasSudo: true, force: false },
  ] as const)
    execFileSync('bash', ['-n', '-c', scriptOf(step, environment)!.command])
})

test("RUN is run as the user of the step, else of the template, in the template's working directory", () => {
  const environment = { defaultUser: 'worker', defaultWorkdir: '/srv', envVars: {} }
  const run = (user?: string) => scriptOf({ type: 'RUN', command: 'x', user, force: false }, environment)
  expect(run()).toEqual({ command: 'x', user: 'worker', cwd: '/srv' })
  expect(run('root')?.user).toBe('root')
})
