import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { SandlotError } from '@sandlot/protocol'
import { type Header, pack } from 'tar-stream'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openStore, type Store } from '../store/open-store.ts'
import type { UploadAmount } from '../teams/limits.ts'
import { ensureCatalogTeam, ensureDefaultTeam } from '../teams/repository.ts'
import type { Team } from '../teams/team.ts'
import { TemplateRepository } from '../templates/repository.ts'
import { UploadRepository } from './repository.ts'
import { Uploads } from './service.ts'

const hash = 'a'.repeat(64)
let dir: string
let now: number
let uploads: Uploads
let store: Store
let limits: UploadAmount
let roomBytes: number
let teams: Record<'one' | 'two', Team>

const open = async (): Promise<void> => {
  uploads = new Uploads({
    dir,
    repository: new UploadRepository(store),
    limits: { uploads: () => limits },
    checkArchive: async (key) => {
      if (readFileSync(join(dir, key), 'utf8') === 'no tar')
        throw new SandlotError('invalid_request', 'no tar')
    },
    roomBytes: () => roomBytes,
    now: () => now,
  })
  await uploads.prepare()
}
const addTemplate = (templateId: string) =>
  new TemplateRepository(store).insert({
    templateId,
    teamId: teams.one.teamId,
    name: templateId,
    isPublic: false,
    createdAtMs: now,
    updatedAtMs: now,
  })

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'sandlot-uploads-'))
  now = Date.now()
  store = await openStore(':memory:')
  limits = { count: 100, sizeBytes: 2 ** 30 }
  roomBytes = 2 ** 30
  teams = { one: await ensureDefaultTeam(store), two: await ensureCatalogTeam(store) }
  for (const templateId of ['app', 'other']) await addTemplate(templateId)
  await open()
})
afterEach(async () => {
  await store.destroy()
  rmSync(dir, { recursive: true })
})

const ticket = (of = hash, templateId = 'app', team = teams.one) => uploads.ticket(team, templateId, of)
const has = (of = hash, team = teams.one) => uploads.has(team.teamId, of)
const hashOf = (digit: string) => digit.repeat(64)

async function tarOf(
  ...entries: Array<Partial<Header> & { name: string; content?: string }>
): Promise<Buffer> {
  const tar = pack()
  for (const { content, ...header } of entries) tar.entry(header, content ?? '')
  tar.finalize()
  return buffer(tar)
}
const send = (token: string, content: Buffer) => uploads.receive(token, Readable.from([content]))

test('an accepted archive is kept', async () => {
  await send(ticket(), await tarOf({ name: 'x', content: 'x' }))
  expect(await has()).toBe(true)
})

test('only the team that sent an archive finds it', async () => {
  await send(ticket(), await tarOf({ name: 'x', content: 'x' }))
  expect(await has(hash, teams.two)).toBe(false)
})

test('a ticket allows one upload within an hour', async () => {
  const content = await tarOf({ name: 'x', content: 'x' })
  const used = ticket()
  await send(used, content)
  await expect(send(used, content)).rejects.toMatchObject({ errorName: 'forbidden' })
  const late = ticket()
  now += 3600_001
  await expect(send(late, content)).rejects.toMatchObject({ errorName: 'forbidden' })
})

test('a refused archive leaves no file, and its ticket allows a retry', async () => {
  const token = ticket()
  await expect(send(token, Buffer.from('no tar'))).rejects.toMatchObject({ errorName: 'invalid_request' })
  expect(readdirSync(dir)).toEqual([])
  await send(token, await tarOf({ name: 'x', content: 'x' }))
  expect(await has()).toBe(true)
})

test('an interrupted upload leaves no file', async () => {
  const broken = Readable.from(
    (async function* () {
      yield Buffer.from('half')
      throw new Error('gone')
    })(),
  )
  await expect(uploads.receive(ticket(), broken)).rejects.toThrow('gone')
  expect(readdirSync(dir)).toEqual([])
})

test('archives that were not used for a week are deleted when the server starts', async () => {
  await send(ticket(), await tarOf({ name: 'x', content: 'x' }))
  now += 6 * 24 * 3600_000
  expect(await has()).toBe(true)
  now += 6 * 24 * 3600_000
  await uploads.prepare()
  expect(await has()).toBe(true)
  now += 8 * 24 * 3600_000
  await uploads.prepare()
  expect(await has()).toBe(false)
})

test('archives that were not used for a week are also deleted while the server runs', async () => {
  await send(ticket(), await tarOf({ name: 'x', content: 'x' }))
  now += 8 * 24 * 3600_000
  await uploads.prune()
  expect([await has(), readdirSync(dir), uploads.usage(teams.one.teamId).sizeBytes]).toEqual([false, [], 0])
})

test('a start with an empty database keeps archives of unknown teams for a week too', async () => {
  await send(ticket(), await tarOf({ name: 'x', content: 'x' }))
  await store.destroy()
  store = await openStore(':memory:')
  await open()
  expect(readdirSync(dir)).toHaveLength(1)
  now += 6 * 24 * 3600_000
  await uploads.prune()
  expect(readdirSync(dir)).toHaveLength(1)
  now += 2 * 24 * 3600_000
  await uploads.prune()
  expect(readdirSync(dir)).toEqual([])
})

test('a restored database does not make an archive expire earlier', async () => {
  await send(ticket(), await tarOf({ name: 'x', content: 'x' }))
  await new UploadRepository(store).touch(teams.one.teamId, hash, now - 8 * 24 * 3600_000)
  await open()
  expect(await has()).toBe(true)
})

test('an archive is deleted with its template, unless another template uses it', async () => {
  const tar = await tarOf({ name: 'x', content: 'x' })
  for (const digit of ['a', 'b']) await send(ticket(hashOf(digit)), tar)
  await uploads.has(teams.one.teamId, hashOf('b'), 'other')
  const deleteTemplate = async (templateId: string) => {
    const removeArchives = await uploads.releasedBy(templateId)
    await new TemplateRepository(store).remove(templateId, [])
    await removeArchives()
    return [await has(hashOf('a')), await has(hashOf('b'))]
  }
  expect(await deleteTemplate('app')).toEqual([false, true])
  expect(await deleteTemplate('other')).toEqual([false, false])
  expect(readdirSync(dir)).toEqual([])
})

test('an archive for a template that was deleted in the meantime is not kept', async () => {
  const token = ticket()
  await new TemplateRepository(store).remove('app', [])
  await expect(send(token, await tarOf({ name: 'x' }))).rejects.toMatchObject({ errorName: 'not_found' })
  expect(readdirSync(dir)).toEqual([])
})

test('tickets of one team do not displace those of another', async () => {
  const token = ticket()
  for (let i = 0; i < 10_001; i++) ticket(i.toString(16).padStart(64, '0'), 'app', teams.two)
  await send(token, await tarOf({ name: 'x', content: 'x' }))
  expect(await has()).toBe(true)
})

test('the usage of a team is known after a restart, including archives without a row', async () => {
  const tar = await tarOf({ name: 'x', content: 'x' })
  await send(ticket(hashOf('a')), tar)
  await send(ticket(hashOf('b')), tar)
  await send(ticket(hashOf('b')), tar)
  const usage = { count: 2, sizeBytes: 2 * tar.length }
  expect(uploads.usage(teams.one.teamId)).toEqual(usage)
  await store.deleteFrom('uploads').where('hash', '=', hashOf('b')).execute()
  await open()
  expect(uploads.usage(teams.one.teamId)).toEqual(usage)
  expect(uploads.usage(teams.two.teamId)).toEqual({ count: 0, sizeBytes: 0 })
})

describe('a team that sends more archives than it may keep', () => {
  /** Sends a tar of about this size without announcing its length. */
  const big = async (sizeBytes: number) => tarOf({ name: 'x', content: 'x'.repeat(sizeBytes) })
  const inPieces = (content: Buffer) =>
    Readable.from(
      (async function* () {
        for (let at = 0; at < content.length; at += 65_536) {
          yield content.subarray(at, at + 65_536)
          await new Promise(setImmediate)
        }
      })(),
    )

  test('is refused by the announced size, before a byte is written', async () => {
    limits.sizeBytes = 1_000_000
    const content = inPieces(await big(2_000_000))
    await expect(uploads.receive(ticket(), content, 2_000_000)).rejects.toThrow('of 1 MB are allowed')
    expect(readdirSync(dir)).toEqual([])
  })

  test('shares its limit between concurrent uploads', async () => {
    limits.sizeBytes = 5_000_000
    const tar = await big(2_000_000)
    const sent = await Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((digit) => uploads.receive(ticket(hashOf(digit)), inPieces(tar))),
    )
    const taken = sent.filter(({ status }) => status === 'fulfilled').length
    expect(taken).toBeLessThanOrEqual(2)
    expect(uploads.usage(teams.one.teamId)).toMatchObject({ count: taken, sizeBytes: taken * tar.length })
    expect(readdirSync(dir)).toHaveLength(taken)
    // another team is not affected
    await send(ticket(hash, 'app', teams.two), tar)
  })

  test('is refused by number', async () => {
    limits.count = 2
    const tar = await big(10)
    for (const digit of ['a', 'b']) await send(ticket(hashOf(digit)), tar)
    await expect(send(ticket(hashOf('c')), tar)).rejects.toMatchObject({ errorName: 'quota_exceeded' })
  })

  test('loses archives that it has not used for a day', async () => {
    limits.count = 2
    const tar = await big(10)
    for (const digit of ['a', 'b']) {
      await send(ticket(hashOf(digit)), tar)
      now += 13 * 3600_000
    }
    await send(ticket(hashOf('c')), tar)
    expect([await has(hashOf('a')), await has(hashOf('b')), await has(hashOf('c'))]).toEqual([
      ...[false, true, true],
    ])
  })

  test('leaves sandboxes the disk space that they need: concurrent uploads share the rest', async () => {
    roomBytes = 8 * 2 ** 20
    const tar = await big(100_000)
    const sent = await Promise.allSettled(
      ['a', 'b', 'c', 'd'].map((digit) => uploads.receive(ticket(hashOf(digit)), inPieces(tar))),
    )
    const refusals = sent.filter(({ status }) => status === 'rejected')
    expect(refusals.length).toBeGreaterThanOrEqual(2)
    for (const refusal of refusals)
      expect((refusal as PromiseRejectedResult).reason).toMatchObject({ errorName: 'disk_full' })
    roomBytes = -1
    await expect(send(ticket(hashOf('e')), tar)).rejects.toMatchObject({ errorName: 'disk_full' })
  })
})
