import { existsSync, readFileSync, rmSync } from 'node:fs'
import { afterAll, expect, inject } from 'vitest'

/** Fails the file whose tests got an answer that is not as the server's /openapi.json says. */
const { violations } = inject('server')
afterAll(() => {
  if (!violations || !existsSync(violations)) return
  const found = readFileSync(violations, 'utf8').split('\n').filter(Boolean)
  rmSync(violations)
  expect([...new Set(found)]).toEqual([])
})
