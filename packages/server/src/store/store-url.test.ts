import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { oldPostgres, refusingPostgres, tlsPostgres } from '../test-support/broken-postgres.ts'
import { openStore } from './open-store.ts'
import { parseStoreUrl, withoutPassword } from './store-url.ts'

let directory: string
let server: Server | undefined
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'sandlot-url-'))
})
afterEach(() => {
  server?.close()
  server = undefined
  rmSync(directory, { recursive: true, force: true })
})

/** The error of a start with this store. */
const refusal = async (url: string): Promise<string> => {
  const error = await openStore(url).then(
    async (store) => {
      await store.destroy()
      return new Error('it was opened')
    },
    (thrown: Error) => thrown,
  )
  expect(error.message.split('\n')).toHaveLength(1)
  expect(error.message).not.toContain('secret')
  return error.message
}
const here = () => `postgres://me:secret@/shop?host=${directory}`

test.each([
  ['mysql://me:secret@host/shop', /it must be sqlite:<path> or postgres:/],
  ['postgres://me:secret@host', /names no database/],
  ['postgres://me:secret@host:port/shop', /it must be sqlite:<path> or postgres:/],
  ['sqlite:', /it must be sqlite:<path> or postgres:/],
])('%s is refused', async (url, reason) => {
  expect(await refusal(url)).toMatch(reason)
})

test.each([
  ['28P01', 'password authentication failed', /refuses the password of user 'me'/],
  ['28000', 'no pg_hba.conf entry for host', /does not let user 'me' in \(no pg_hba/],
  ['3D000', 'database "shop" does not exist', /there is no database 'shop'/],
  ['53300', 'too many clients already', /all connections that PostgreSQL allows are taken/],
  ['57P03', 'the database system is starting up', /starting or stopping/],
])('error %s of PostgreSQL is one sentence', async (code, text, reason) => {
  server = await refusingPostgres(directory, code, text)
  expect(await refusal(here())).toMatch(reason)
})

test('a PostgreSQL that is too old is refused with its version', async () => {
  server = await oldPostgres(directory, '130018', '13.18')
  expect(await refusal(here())).toMatch(/is PostgreSQL 13.18; Sandlot needs 14 or newer/)
})

test.each([
  ['postgres://me:secret@127.0.0.1:1/shop', /nothing listens at 127.0.0.1:1/],
  ['postgres://me:secret@no-such-host.invalid/shop', /no host 'no-such-host.invalid:5432' is known/],
  ['postgres://me:secret@/shop?host=/nowhere', /nothing listens at \/nowhere\/.s.PGSQL.5432/],
])('%s cannot be reached, which is said', async (url, reason) => {
  expect(await refusal(url)).toMatch(reason)
})

test.each(['sslrootcert', 'sslcert', 'sslkey'])('a file of %s that cannot be read is named', async (name) => {
  expect(await refusal(`${here()}&${name}=/nowhere/file.pem`)).toMatch(
    new RegExp(`its ${name} cannot be read \\(ENOENT: .* '/nowhere/file.pem'\\)`),
  )
  expect(await refusal(`${here()}&${name}=${directory}`)).toMatch(
    new RegExp(`its ${name} cannot be read \\(EISDIR`),
  )
})

test.each(['sslcert', 'sslkey'])('a file of %s that holds something else is named', async (name) => {
  const file = join(directory, 'file.pem')
  writeFileSync(file, '-----BEGIN CERTIFICATE-----\nnonsense\n')
  server = await tlsPostgres(directory)
  expect(await refusal(`${here()}&${name}=${file}`)).toMatch(/cannot be used: TLS: /)
})

test.each([
  ['postgres://me:secret@host/%E0%A4%A', /its URL is not understood \(URI malformed\)/],
  ['postgres://me:secret@host/shop?sslnegotiation=never', /Invalid sslnegotiation value: "never"/],
  ['postgres://me:secret@host/shop?uselibpqcompat=true&sslmode=verify-ca', /requires specifying a CA/],
  ['postgres://me:secret@host/shop?port=none', /its port is 'none'/],
  ['postgres://me:secret@host/shop?port=65536', /its port is '65536'/],
])('%s is refused in one sentence', async (url, reason) => {
  expect(await refusal(url)).toMatch(reason)
})

test('a SQLite file that cannot be opened, or is something else, is named', async () => {
  expect(await refusal('sqlite:/nowhere/db.sqlite')).toMatch(
    /the store sqlite:\/nowhere\/db.sqlite cannot be used: ENOENT/,
  )
  expect(await refusal(`sqlite:${directory}`)).toMatch(/cannot be used: EISDIR/)
  const file = join(directory, 'text')
  writeFileSync(file, 'x'.repeat(10_000))
  expect(await refusal(`sqlite:${file}`)).toMatch(/cannot be used: file is not a database/)
})

test('a database that a newer Sandlot has used is refused', async () => {
  const url = `sqlite:${join(directory, 'db.sqlite')}`
  const store = await openStore(url)
  await sql`update schema_version set version = 999`.execute(store)
  await store.destroy()
  expect(await refusal(url)).toMatch(/tables of version 999, this Sandlot knows versions up to \d+/)
})

test.each([
  'postgres://me:secret@host/shop',
  'postgresql://me:s@secret@host/shop',
  'postgres://me:secret@',
  'postgres://me:secret@/shop?host=/run/postgresql',
  'postgres://:secret@host/shop',
  'postgres://me:%73ecret@host:5432/shop',
  'postgres://me%3Asecret@host/shop',
  'postgres://me:secret',
  'postgres://me:secret/shop',
  'postgres://me:1/secret@host/shop',
  'postgres://me:1?secret@host/shop',
  'postgres://me:1#secret@host/shop',
  'postgres://host/shop?user=me&password=secret&sslmode=require',
  'postgres://host:5432/shop?password=a@secret',
  'postgres://host/shop?Password=secret',
  'postgres://host/shop?pass%77ord=secret',
  'postgres://host/shop?password=a;secret',
  'postgres://host/shop?sslpassword=secret#secret',
  'postgres://host/shop?options=-c%20my.token%3Dsecret',
  'postgresql+psycopg2://me:secret@host/shop',
  'jdbc:postgresql://host/shop?user=me&password=secret',
  'mysql://me:a/secret@host/shop',
  'postgres:/me:secret@host/shop',
  'postgres:me:secret@host/shop',
  '//me:secret@host/shop',
  'me:secret@host/shop',
  'secret@host',
  'host=db user=me password=secret',
  "host=db password = 'my secret'",
  'Server=db;User Id=me;Pwd=secret',
  '"postgres://me:secret@host/shop"',
  ' postgres://me:secret@host/shop',
])('nothing of the password of %s is shown', (url) => {
  expect(decodeURIComponent(withoutPassword(url))).not.toContain('secret')
  expect(withoutPassword(url)).not.toContain('%73ecret')
})

test.each([
  ['postgres://me:secret@host:5432/shop', 'postgres://me@host:5432/shop'],
  ['postgres://host/shop?sslmode=require', 'postgres://host/shop?sslmode=require'],
  [
    'postgres://me:secret@/shop?host=/run/postgresql&password=x',
    'postgres://me@/shop?host=/run/postgresql&…',
  ],
  ['postgresql+psycopg2://me:secret@host/shop', 'postgresql+psycopg2://…'],
  ['./db.sqlite', './db.sqlite'],
  ['sqlite:', 'sqlite:'],
])('%s is shown as %s', (url, shown) => {
  expect(withoutPassword(url)).toBe(shown)
})

test('a URL of a Unix socket has no host', () => {
  const url = 'postgres://sandlot@/shop?host=/run/postgresql'
  expect(parseStoreUrl(url)).toEqual({ kind: 'postgres', url })
})
