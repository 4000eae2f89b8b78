import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RecordingApi, startRecordingApi } from './recording-api.ts'
import { expectSameWire, runBoth, type Sdk } from './same-wire.ts'
import { templateApi } from './template-api.ts'

let api: RecordingApi
let context = ''

beforeAll(async () => {
  api = await startRecordingApi(templateApi)
  context = await mkdtemp(join(tmpdir(), 'sdk-dockerfile-'))
  for (const file of ['a.txt', 'b.txt']) await writeFile(join(context, file), file)
  await writeFile(join(context, 'Dockerfile'), 'FROM python:3\nRUN from a file\n')
})

afterAll(async () => {
  await api.close()
  await rm(context, { recursive: true })
})

const build = (dockerfile: string) => (sdk: Sdk) =>
  sdk.Template.buildInBackground(sdk.Template({ fileContextPath: context }).fromDockerfile(dockerfile), 'n', {
    apiUrl: api.url,
    apiKey: 'e2b_0123',
  })

describe('a Dockerfile sends the same requests', () => {
  test.each([
    'FROM python:3\nRUN pip install numpy',
    'FROM python:3',
    'FROM a@sha256:0000 AS stage\nRUN x',
    'FROM --platform=linux/amd64 a:1\nRUN x',
    'from a\nrun x\nworkdir /y\nuser z',
    '# syntax=docker/dockerfile:1\n# comment\n\nFROM a\n# comment\nRUN x # y\n',
    '\uFEFF  FROM\ta\r\n   RUN\tx \\\r\n  y\r\nRUN c   \r\n',
    'FROM a\nRUN apt-get update && \\\n    apt-get install -y x \\\n # comment\n\n  && rm -rf /y\n',
    '# escape=`\nFROM a\nRUN a `\n  b\n',
    'FROM a\nRUN --mount=type=cache,target=/x --network=none pip install y\n',
    'FROM a\nRUN echo $HOME ${X:-y} "a b"\n',
    'FROM a\nCOPY a.txt /x\nADD b.txt /y\n',
    'FROM a\nCOPY a.txt b.txt /x/\nCOPY *.txt /z/\nCOPY . /all\n',
    'FROM a\nCOPY --chown=u:g a.txt /x\nCOPY --link --chown=root a.txt /y\n',
    'FROM a\nCOPY /a.txt /x',
    'FROM a\nCOPY ../a.txt /x',
    'FROM a\nWORKDIR /x\nWORKDIR y\n',
    'FROM a\nUSER bob:group\n',
    'FROM a\nUSER user\nWORKDIR /x\n',
    'FROM a\nENV A=1 \\\n  B=2\nENV C=$A/x D=\n',
    'FROM a\nARG A=1\nARG B\nARG C=1 D=2\n',
    'FROM a\nCMD ["node", "b.js"]\n',
    'FROM a\nCMD node x && y\n',
    'FROM a\nCMD a\nCMD b\n',
    'FROM a\nENTRYPOINT ["e", "x"]\n',
    'FROM a\nENTRYPOINT exec top -b\n',
    'FROM a\nEXPOSE 80\nVOLUME /x\n',
  ])('%j', async (dockerfile) => {
    await expectSameWire(api, build(dockerfile))
  })

  test('in a file', async () => {
    const [request] = await expectSameWire(api, build(join(context, 'Dockerfile')))
    expect(request).toBeDefined()
  })

  test('whose builder continues with further steps', async () => {
    await expectSameWire(api, ({ Template }) =>
      Template.toJSON(Template().skipCache().fromDockerfile('FROM a\nRUN b').runCmd('c').setUser('d')),
    )
  })
})

/**
 * Where the official conversion changes the meaning of a Dockerfile, our conversion keeps it. Each row: the Dockerfile,
 * the official steps that show the change, and our steps.
 */
describe('a Dockerfile keeps its meaning where the official SDK loses it', () => {
  test.each<[string, string, unknown, unknown]>([
    ['arguments in FROM', 'ARG V=3\nFROM a:${V}', ['a:${V}'], ['a:3']],
    ['blanks in quotes', 'FROM a\nRUN echo "a   b"', ['echo "a b"'], ['echo "a   b"']],
    ['backslashes', 'FROM a\nRUN echo a\\nb', ['echo anb'], ['echo a\\nb']],
    ['the exec form of RUN', 'FROM a\nRUN ["echo", "a b"]', ['["echo", "a b"]'], ["echo 'a b'"]],
    ['here-documents', 'FROM a\nRUN <<EOF\na\nb\nEOF', ['<<EOF a b EOF'], ['a\nb']],
    [
      'permissions',
      'FROM a\nCOPY --chmod=755 a.txt /x',
      ['a.txt', '/x', '', ''],
      ['a.txt', '/x', '', '0755'],
    ],
    ['the list form of COPY', 'FROM a\nCOPY ["a b", "/x"]', ['["a', '"/x"]', '', ''], ['a b', '/x', '', '']],
    ['quotes of COPY', 'FROM a\nCOPY "a.txt" /x', ['"a.txt"', '/x', '', ''], ['a.txt', '/x', '', '']],
    ['known variables', 'FROM a\nWORKDIR /q\nENV W=/w\nWORKDIR $W/x', ['$W/x'], ['/w/x']],
    ['blanks in WORKDIR', 'FROM a\nWORKDIR /x y', ['/x'], ['/x y']],
    ['quotes of ENV', 'FROM a\nENV A="x y"', ['A="x', 'y"'], ['A', 'x y']],
    ['the old form of ENV', 'FROM a\nENV A some value', undefined, ['A', 'some value']],
  ])('%s', async (_, dockerfile, lost, kept) => {
    const { official, ours } = await runBoth(api, ({ Template }) =>
      Template.toJSON(Template({ fileContextPath: context }).fromDockerfile(dockerfile), false),
    )
    const told = (run: { outcome: unknown }) => {
      const { steps, fromImage } = JSON.parse((run.outcome as { result: string }).result)
      return [[fromImage], ...steps.map(({ args }: { args: string[] }) => args)]
    }
    if (lost) expect(told(official)).toContainEqual(lost)
    expect(told(official)).not.toContainEqual(kept)
    expect(told(ours)).toContainEqual(kept)
  })

  test.each([
    ['CMD behind ENTRYPOINT', 'ENTRYPOINT ["e"]\nCMD ["c"]', 'c', 'e c'],
    ['CMD before ENTRYPOINT', 'CMD ["c"]\nENTRYPOINT ["e"]', 'e', 'e c'],
    ['blanks in the words of CMD', 'CMD ["node", "a b.js"]', 'node a b.js', "node 'a b.js'"],
    ['a shell in CMD', 'CMD ["sh", "-c", "echo $X"]', 'sh -c echo $X', "sh -c 'echo $X'"],
  ])('%s', async (_, commands, lost, kept) => {
    const { official, ours } = await runBoth(api, ({ Template }) =>
      Template.toJSON(Template().fromDockerfile(`FROM a\n${commands}`)),
    )
    expect(JSON.parse((official.outcome as { result: string }).result).startCmd).toBe(lost)
    expect(JSON.parse((ours.outcome as { result: string }).result).startCmd).toBe(kept)
  })
})
