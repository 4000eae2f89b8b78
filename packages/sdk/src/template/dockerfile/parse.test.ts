import { expect, test } from 'vitest'
import { execForm, parseDockerfile } from './parse.ts'

const parsed = (content: string) => parseDockerfile(content).map(({ keyword, text }) => [keyword, text])

test('keywords are read in any case, comments and blank lines are not instructions', () => {
  expect(parsed('# syntax=docker/dockerfile:1\n\nfrom a\n  # c\n  Run x # y\n')).toEqual([
    ['FROM', 'a'],
    ['RUN', 'x # y'],
  ])
})

test('a continued line continues after comments and blank lines', () => {
  expect(parsed('RUN a \\\n# c\n\n  && b \\  \n  && c\nUSER x')).toEqual([
    ['RUN', 'a   && b   && c'],
    ['USER', 'x'],
  ])
})

test('an escaped escape character does not continue a line', () => {
  expect(parsed('RUN echo \\\\\nUSER x')).toEqual([
    ['RUN', 'echo \\\\'],
    ['USER', 'x'],
  ])
})

test('the escape directive makes the backslash an ordinary character', () => {
  expect(parsed('# escape=`\nRUN dir C:\\\nRUN a `\n b')).toEqual([
    ['RUN', 'dir C:\\'],
    ['RUN', 'a  b'],
  ])
})

test('Windows line breaks and a byte order mark are removed', () => {
  expect(parsed('\uFEFFFROM a\r\nRUN b \\\r\n c\r\n')).toEqual([
    ['FROM', 'a'],
    ['RUN', 'b  c'],
  ])
})

test('flags are removed only from instructions that have flags', () => {
  const [copy, cmd] = parseDockerfile('COPY --link --chown=u:g --chmod=755 a b\nCMD --help')
  expect(copy).toMatchObject({ flags: { link: '', chown: 'u:g', chmod: '755' }, text: 'a b' })
  expect(cmd).toMatchObject({ flags: {}, text: '--help' })
})

test('a here-document belongs to its instruction, and keeps comments and indentation', () => {
  const [run, user] = parseDockerfile('RUN <<EOF\n  echo "a   b"\n# kept\nEOF\nUSER x')
  expect(run).toMatchObject({
    text: '<<EOF',
    heredocs: [{ name: 'EOF', content: '  echo "a   b"\n# kept\n', source: '  echo "a   b"\n# kept\nEOF' }],
  })
  expect(user).toMatchObject({ keyword: 'USER', line: 5 })
})

test('two here-documents of one instruction follow each other; a dash removes leading tabs', () => {
  const [run] = parseDockerfile("RUN a <<-ONE 2>x b <<'TWO'\n\t1\n\tONE\n2\nTWO\n")
  expect(run!.heredocs.map(({ content }) => content)).toEqual(['1\n', '2\n'])
})

test('only a list of strings is the exec form', () => {
  expect(execForm('["a", "b c"]')).toEqual(['a', 'b c'])
  expect(execForm("['a']")).toBeUndefined()
  expect(execForm('[1]')).toBeUndefined()
  expect(execForm('[ -f x ] && y')).toBeUndefined()
})
