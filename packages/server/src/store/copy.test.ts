import { sql } from 'kysely'
import { expect, test } from 'vitest'
import { copyStore } from './copy.ts'
import { SCHEMA_VERSION } from './migrations.ts'
import { openStore } from './open-store.ts'

test.each([
  [SCHEMA_VERSION - 1, 'start this version once on it'],
  [SCHEMA_VERSION + 1, 'copy it with the newer Sandlot that made them'],
])('a source of schema version %s is refused with what to do', async (version, remedy) => {
  const from = await openStore(':memory:')
  const to = await openStore(':memory:')
  await sql`update schema_version set version = ${version}`.execute(from)
  const refusal = await copyStore(from, to, { nodeId: '' }).catch((error: Error) => error.message)
  expect(refusal).toContain(`the source has tables of version ${version}`)
  expect(refusal).toContain(remedy)
  await from.destroy()
  await to.destroy()
})
