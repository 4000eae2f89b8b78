import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { becomeServer, type ServerRecord } from './server-lock.ts'
import { storeOfServer } from './store-url.ts'

const about = { listen: '127.0.0.1:3000', domain: 'sandlot.localhost:3000' }
let home: string

beforeEach(() => void (home = mkdtempSync(join(tmpdir(), 'sandlot-store-'))))
afterEach(() => rmSync(home, { recursive: true }))

function withServer<T>(record: Partial<ServerRecord>, work: () => T): T {
  const lock = becomeServer(home, { ...about, ...record })
  try {
    return work()
  } finally {
    lock.release()
  }
}

test('a command uses the database of its settings while no server runs, or one with that database', () => {
  const store = 'postgres://sandlot:secret@db.example.com/sandlot'
  expect(storeOfServer({ home, store: 'sqlite' })).toBe(`sqlite:${home}/db.sqlite`)
  const record = { store: 'postgres://sandlot@db.example.com/sandlot' }
  expect(withServer(record, () => storeOfServer({ home, store }))).toBe(store)
  expect(withServer({}, () => storeOfServer({ home, store }))).toBe(store)
})

test('a command with another database than that of the running server is refused, and no password is shown', () => {
  const record = { store: 'postgres://sandlot@db.example.com/sandlot' }
  expect(() => withServer(record, () => storeOfServer({ home, store: 'sqlite' }))).toThrow(
    `the server of ${home} uses the store postgres://sandlot@db.example.com/sandlot, and this command would use sqlite:${home}/db.sqlite: set SANDLOT_STORE`,
  )
  expect(() => withServer(record, () => storeOfServer({ home, store: 'postgres://u:secret@h/d' }))).toThrow(
    /would use postgres:\/\/u@h\/d:/,
  )
})
