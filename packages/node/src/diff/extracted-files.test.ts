import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ExtractedFiles } from './extracted-files.ts'

let dir: string
let files: ExtractedFiles
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-extracted-'))
  files = new ExtractedFiles(dir)
  await files.prepare()
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const never = new AbortController().signal
const list = (path: string): Promise<string[]> => readdir(path)
let extractions = 0
const extract = async (target: string): Promise<void> => {
  extractions++
  await mkdir(target)
  await writeFile(join(target, 'multitar.img'), 'x')
}

test('files are extracted once, also for concurrent callers', async () => {
  extractions = 0
  const use = () => files.use('c1', never, extract, list)
  expect(await Promise.all([use(), use()])).toEqual([['multitar.img'], ['multitar.img']])
  await use()
  expect(extractions).toBe(1)
})

test('a failed extraction leaves nothing and is repeated', async () => {
  const fail = async (target: string) => {
    await mkdir(target)
    throw new Error('no memory')
  }
  await expect(files.use('c1', never, fail, list)).rejects.toThrow('no memory')
  expect(await readdir(dir)).toEqual([])
  expect(await files.use('c1', never, extract, list)).toEqual(['multitar.img'])
})

test('an extraction is aborted only with the last waiting caller', async () => {
  const waiting = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  let isGivenUp = false
  const slow = async (target: string, signal: AbortSignal) => {
    signal.addEventListener('abort', () => {
      isGivenUp = true
      waiting.reject(new Error('given up'))
    })
    started.resolve()
    await waiting.promise
    await extract(target)
  }
  const [first, second] = [new AbortController(), new AbortController()]
  const both = Promise.allSettled([first, second].map(({ signal }) => files.use('c1', signal, slow, list)))
  await started.promise
  first.abort(new Error('gone'))
  expect(isGivenUp).toBe(false)
  second.abort(new Error('gone'))
  expect(isGivenUp).toBe(true)
  expect((await both).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
})

test('the least recently used files are dropped, and those of deleted checkpoints', async () => {
  for (let i = 0; i < 10; i++) await files.use(`c${i}`, never, extract, list)
  expect((await readdir(dir)).sort()).toEqual(Array.from({ length: 8 }, (_, i) => `c${i + 2}`))
  await files.forget('c5')
  expect(existsSync(join(dir, 'c5'))).toBe(false)
})

test('a new caller does not fail with an aborted extraction', async () => {
  const ended = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const killed = async (target: string, signal: AbortSignal) => {
    await mkdir(target)
    started.resolve()
    await new Promise((resolve) => signal.addEventListener('abort', resolve))
    await ended.promise
    throw new Error('runsc was killed')
  }
  const first = new AbortController()
  const given = files.use('c1', first.signal, killed, list)
  await started.promise
  first.abort(new Error('the client is gone'))
  const next = files.use('c1', never, extract, list)
  ended.resolve()
  await expect(given).rejects.toThrow('the client is gone')
  expect(await next).toEqual(['multitar.img'])
})
