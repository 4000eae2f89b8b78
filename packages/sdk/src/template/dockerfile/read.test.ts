import { expect, test, vi } from 'vitest'
import { readDockerfile } from './read.ts'

/** Type and arguments of the steps, without the first two and last two, which are the same for every such file. */
const middle = (content: string) =>
  readDockerfile(`FROM a\n${content}\nUSER user\nWORKDIR /home/user`)
    .steps.slice(2, -2)
    .map(({ type, args }) => [type, ...args])

test('steps run as root in / and end as user in its home', () => {
  expect(readDockerfile('FROM --platform=linux/amd64 python:3 AS x')).toEqual({
    fromImage: 'python:3',
    steps: [
      { type: 'USER', args: ['root'] },
      { type: 'WORKDIR', args: ['/'] },
      { type: 'USER', args: ['user'] },
      { type: 'WORKDIR', args: ['/home/user'] },
    ],
    startCmd: undefined,
  })
})

test('arguments before FROM choose the image', () => {
  const { fromImage } = readDockerfile('ARG REGISTRY=r.dev\nARG V\nFROM ${REGISTRY}/python:${V:-3}')
  expect(fromImage).toBe('r.dev/python:3')
})

test('RUN keeps white space inside quotes', () => {
  expect(middle('RUN echo "a   b"   \\\n   && c\\nd')).toEqual([['RUN', 'echo "a   b" && c\\nd']])
})

test('the exec form of RUN is quoted for the shell', () => {
  expect(middle('RUN ["echo", "a $b"]')).toEqual([['RUN', "echo 'a $b'"]])
})

test('a here-document of RUN is a script, for its interpreter or the shell, or input of the command', () => {
  expect(middle('RUN <<EOF\nset -e\n  a\nEOF')).toEqual([['RUN', 'set -e\n  a']])
  expect(middle('RUN <<EOF\n#!/usr/bin/env python3\nprint(1)\nEOF')).toEqual([
    ['RUN', "/usr/bin/env python3 /dev/stdin <<'EOF'\n#!/usr/bin/env python3\nprint(1)\nEOF"],
  ])
  expect(middle('RUN cat <<EOF > /x\nhi\nEOF')).toEqual([['RUN', 'cat <<EOF > /x\nhi\nEOF']])
})

test('COPY makes one step of each source, with owner and permissions', () => {
  expect(middle('ENV D=/d\nCOPY --chown=u:g --chmod=755 a b $D/').slice(1)).toEqual([
    ['COPY', 'a', '/d/', 'u:g', '0755'],
    ['COPY', 'b', '/d/', 'u:g', '0755'],
  ])
  expect(middle('COPY ["a b", "/x"]\nADD "c" $UNKNOWN/')).toEqual([
    ['COPY', 'a b', '/x', '', ''],
    ['COPY', 'c', '$UNKNOWN/', '', ''],
  ])
})

test('values of ENV lose their quotes, and variables that may be expanded stay', () => {
  expect(middle(`ENV A=1 B="x y" C='$D' E=$A/z\nENV OLD some  text`)).toEqual([
    ['ENV', 'A', '1', 'B', 'x y', 'C', '\\$D', 'E', '$A/z'],
    ['ENV', 'OLD', 'some  text'],
  ])
})

test('a build argument is a variable with its default', () => {
  expect(middle('ARG A=1\nARG B\nWORKDIR /w/$A')).toEqual([
    ['ENV', 'A', '1'],
    ['ENV', 'B', ''],
    ['WORKDIR', '/w/1'],
  ])
})

test.each([
  ['CMD node x && y', 'node x && y'],
  ['CMD ["sh", "-c", "echo $X"]', "sh -c 'echo $X'"],
  ['ENTRYPOINT ["e"]\nCMD ["c", "d"]', 'e c d'],
  ['CMD ["c"]\nENTRYPOINT ["e"]', 'e c'],
  ['ENTRYPOINT ["e"]\nCMD c d', "e /bin/sh -c 'c d'"],
  ['ENTRYPOINT e  x\nCMD ["c"]', 'e x'],
  ['CMD a\nCMD b', 'b'],
  ['CMD []', undefined],
  ['CMD', undefined],
])('%j starts with %j', (content, startCmd) => {
  expect(readDockerfile(`FROM a\n${content}`).startCmd).toBe(startCmd)
})

test.each([
  ['', 'Dockerfile must contain a FROM instruction'],
  ['FROM a\nFROM b', 'Multi-stage Dockerfiles are not supported'],
  ['FROM a\nRUN', 'Dockerfile line 2: RUN needs an argument'],
  ['FROM a\nFOO x', 'Dockerfile line 2: unknown instruction FOO'],
  ['FROM a\nCOPY x', 'Dockerfile line 2: COPY needs a source and a destination'],
  ['FROM a\n\nCOPY --from=b x y', 'Dockerfile line 3: COPY --from=b copies from another image'],
  ['FROM a\nCOPY --chmod=u+x x y', 'Dockerfile line 2: --chmod=u+x is not supported'],
  ['FROM a\nADD https://x.dev/y /y', 'Dockerfile line 2: ADD of https://x.dev/y is not supported'],
  ['FROM a\nCOPY <<EOF /x\nhi\nEOF', 'Dockerfile line 2: COPY of a here-document is not supported'],
  ['FROM a\nENV A', 'Dockerfile line 2: ENV needs NAME=value, got A'],
  ['FROM a\nCOPY ../x y', 'Invalid source path "../x": path escapes the context directory'],
])('%j is refused, and the error names the line', (content, message) => {
  expect(() => readDockerfile(content)).toThrow(message)
})

test('instructions without effect in a template cause a warning', () => {
  const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined)
  readDockerfile('FROM a\nEXPOSE 80\nLABEL a=b\nHEALTHCHECK NONE\nADD x.tar.gz /x')
  expect(warn.mock.calls.flat()).toEqual([
    'Dockerfile line 4: HEALTHCHECK has no effect in a template',
    'Dockerfile line 5: ADD does not unpack x.tar.gz in a template: add RUN tar -xf',
  ])
  warn.mockRestore()
})
