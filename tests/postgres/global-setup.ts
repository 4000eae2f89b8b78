import { openStore } from '@sandlot/server/store/open-store'
import type { TestProject } from 'vitest/node'
import { startCluster } from './cluster.ts'

/** Runs PostgreSQL for the server's unit tests, each of which gets a database of its own: a copy of this empty one. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const cluster = await startCluster()
  try {
    await cluster.query('postgres', 'create database template')
    const store = await openStore(cluster.url('template'))
    await store.destroy()
  } catch (error) {
    await cluster.remove()
    throw error
  }
  project.provide('postgresTemplate', cluster.url('template'))
  return () => cluster.remove()
}
