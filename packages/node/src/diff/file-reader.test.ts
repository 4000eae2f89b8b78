import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { FileReader } from './file-reader.ts'

/** Creates a reader with a machine that answers `lines` to every request. */
function reader(lines: string, limits = {}): FileReader {
  const stdout = new PassThrough()
  const read = new FileReader(new PassThrough(), stdout, limits)
  setImmediate(() => stdout.end(lines))
  return read
}
const entry = (name: string, rest = '"f",420,0,0,1,2,true,""') => `["${name}",${rest}]\n`

test('names of entries are read as bytes, however the answer is split into pieces', async () => {
  const stdout = new PassThrough()
  const read = new FileReader(new PassThrough(), stdout)
  const listing = read.list('/')
  const digest = read.digest('/a')
  for (const piece of `${entry('a\\n\\u00ff')}["end",1]\n["digest","${'ab'.repeat(32)}"]\n`)
    stdout.write(piece)
  expect(await listing).toEqual([
    { name: 'a\n\xff', kind: 'file', signature: '420:0:0', sizeBytes: 1, modifiedAt: 2, isWritten: true },
  ])
  expect(await digest).toBe('ab'.repeat(32))
})

test('a missing folder is distinguished from an empty one', async () => {
  expect(await reader('["missing"]\n').list('/')).toBeUndefined()
  expect(await reader('["end",0]\n').list('/')).toEqual([])
  expect(await reader('["skipped"]\n').digest('/a')).toBeUndefined()
})

test.each<[string, string]>([
  ['no JSON', 'hello\n'],
  ['no array', '{"name":"a"}\n'],
  ['a name that is a path', entry('../../etc/passwd')],
  ['a name that goes up', entry('..')],
  ['an empty name', entry('')],
  ['a name that is too long', entry('n'.repeat(256))],
  ['a name with characters that are not bytes', entry('\\u0100')],
  ['an unknown kind', entry('a', '"constructor",420,0,0,1,2,true,""')],
  ['a number that is text', entry('a', '"f","x",0,0,1,2,true,""')],
  ['content that is too long', entry('a', `"l",420,0,0,1,2,true,"${'x'.repeat(65)}"`)],
  ['a wrong count of entries', `${entry('a')}["end",2]\n`],
  ['an answer of another kind', `["digest","${'ab'.repeat(31)}"]\n`],
  ['a digest of a folder', `["digest","${'ab'.repeat(32)}"]\n`],
  ['a line without an end', 'x'.repeat(20_000)],
  ['nothing', ''],
  ['half an answer', entry('a')],
])('%s is refused', async (_, lines) => {
  await expect(reader(lines).list('/')).rejects.toMatchObject({ errorName: 'internal_server_error' })
})

test('an answer without a request is an error', async () => {
  const stdout = new PassThrough()
  const read = new FileReader(new PassThrough(), stdout)
  stdout.write('["end",0]\n')
  await new Promise(setImmediate)
  expect(stdout.destroyed).toBe(true)
  await expect(read.list('/')).rejects.toMatchObject({ errorName: 'internal_server_error' })
})

test('too many entries and too much output are refused', async () => {
  await expect(
    reader(`${entry('a')}${entry('b')}["end",2]\n`, { maxEntries: 1 }).list('/'),
  ).rejects.toMatchObject({
    errorName: 'invalid_request',
  })
  await expect(reader(`${entry('a')}["end",1]\n`, { maxOutputBytes: 10 }).list('/')).rejects.toMatchObject({
    errorName: 'invalid_request',
  })
})

test('a path that is too long is not requested', async () => {
  await expect(reader('').list(`/${'a'.repeat(4_095)}`)).rejects.toMatchObject({
    errorName: 'invalid_request',
  })
})
