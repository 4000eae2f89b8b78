import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SandboxRecord } from '@sandlot/protocol/node'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { S3Store } from '../objects/s3-store.ts'
import { createS3Server, type S3Server } from '../test-support/versitygw.ts'
import { SandboxRecords } from './records.ts'

const SECRET = 'a secret of at least thirty-two characters'
const file = { sha256: 'a'.repeat(64), sizeBytes: 1, modifiedAtNs: '1' }
const record: Omit<SandboxRecord, 'owner'> = {
  sandboxId: 'ibox',
  state: 'paused',
  checkpointId: `c${'a'.repeat(20)}`,
  base: { image: file, envd: file },
  rows: {},
}

let dir: string
let server: S3Server
let store: S3Store
let records: SandboxRecords
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'sandlot-records-'))
  server = await createS3Server(dir)
  await server.start()
  store = new S3Store(server.options)
  records = new SandboxRecords(store, SECRET, { instanceId: 'one', name: 'one' })
  await records.write(record, undefined)
}, 600_000)
afterAll(async () => {
  store.close()
  await server.kill()
  await rm(dir, { recursive: true, force: true })
})

test('keys that the owner of the bucket has made up are ignored', async () => {
  for (const name of ['UPPER.json.enc', 'a-b.json.enc', 'deep/ibox.json.enc', 'ibox.json', 'ibox.enc'])
    await store.put(`sandboxes/${name}`, Buffer.from('x'))
  expect(await records.ids()).toEqual(['ibox'])
})

test('a record that is too large is not read', async () => {
  await store.put('sandboxes/ihuge.json.enc', Buffer.alloc(8 * 2 ** 20))
  await expect(records.find('ihuge')).rejects.toMatchObject({
    errorName: 'checkpoint_damaged',
    message: expect.stringContaining('has 8388608 bytes'),
  })
})

test('a record under the name of another sandbox is rejected', async () => {
  const { content } = (await store.getTagged('sandboxes/ibox.json.enc'))!
  await store.put('sandboxes/iother.json.enc', content)
  await expect(records.find('iother')).rejects.toMatchObject({ errorName: 'checkpoint_damaged' })
  expect((await records.find('ibox'))?.record).toMatchObject({ sandboxId: 'ibox', owner: { name: 'one' } })
})
