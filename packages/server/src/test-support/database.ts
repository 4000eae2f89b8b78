import { randomUUID } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import pg from 'pg'
import { inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** URL of a PostgreSQL database with empty tables of this version; absent: tests run on SQLite. */
    postgresTemplate: string
  }
}

/** A database of one test. */
export interface TestDatabase {
  url: string
  /** Copies the database with its rows; the copy is removed together with the original. */
  copy(): Promise<TestDatabase>
  /** Creates another, empty database, which is removed together with this one. */
  empty(): Promise<TestDatabase>
  remove(): Promise<void>
}

const postgresTemplate = inject('postgresTemplate')

export const isOnPostgres = postgresTemplate !== undefined

/** @param directory holds the file when tests run on SQLite; the caller removes the directory */
export async function newTestDatabase(directory: string): Promise<TestDatabase> {
  return postgresTemplate === undefined
    ? sqliteDatabase(directory, 'db.sqlite')
    : postgresDatabase(postgresTemplate)
}

function sqliteDatabase(directory: string, name: string): TestDatabase {
  const path = join(directory, name)
  return {
    url: `sqlite:${path}`,
    async copy() {
      const copy = sqliteDatabase(directory, `${randomUUID()}.sqlite`)
      const database = new DatabaseSync(path)
      // copies the write-ahead log too, which may hold the newest rows
      database.exec('pragma wal_checkpoint(truncate)')
      database.close()
      copyFileSync(path, copy.url.slice('sqlite:'.length))
      return copy
    },
    empty: async () => sqliteDatabase(directory, `${randomUUID()}.sqlite`),
    async remove() {},
  }
}

async function postgresDatabase(template: string): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`
  const copies: TestDatabase[] = []
  const keep = async (database: Promise<TestDatabase>) => {
    copies.push(await database)
    return copies.at(-1)!
  }
  // the default writes the copy to the log as well
  await administer(template, `create database ${name} template ${nameIn(template)} strategy file_copy`)
  const url = withName(template, name)
  return {
    url,
    async copy() {
      // a database that is copied must have no connections; the server under test opens new ones
      await administer(
        template,
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${name}'`,
      )
      return keep(postgresDatabase(url))
    },
    empty: () => keep(postgresDatabase(template)),
    async remove() {
      for (const copy of copies) await copy.remove()
      await administer(template, `drop database if exists ${name} with (force)`)
    },
  }
}

const nameIn = (url: string): string => /\/([^/?]+)(\?|$)/.exec(url)![1]!
const withName = (url: string, name: string): string => url.replace(/\/[^/?]+(\?|$)/, `/${name}$1`)

let administration: pg.Pool | undefined

async function administer(url: string, statement: string): Promise<void> {
  if (!administration) {
    administration = new pg.Pool({ connectionString: withName(url, 'postgres'), allowExitOnIdle: true })
    // PostgreSQL ends before the worker does
    administration.on('error', () => {})
  }
  await administration.query(statement)
}
