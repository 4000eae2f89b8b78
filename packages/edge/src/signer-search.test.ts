import type { DirectoryEntry } from '@sandlot/protocol/directory'
import { expect, it } from 'vitest'
import { type SignedFileUrl, signFileUrl } from './signed-url.ts'
import { SignerSearch } from './signer-search.ts'

const link = (token: string, path = '/a'): SignedFileUrl => {
  const url = { path, username: 'user', operation: 'read' as const }
  return { ...url, signature: signFileUrl(url, token) }
}

function directoryOf(count: number) {
  const entries = Array.from({ length: count }, (_, i): DirectoryEntry => {
    return { sandboxId: `i${i}`, state: 'running', address: '10.0.0.1', envdAccessToken: `token-${i}` }
  })
  let listings = 0
  return {
    find: (sandboxId: string) => entries.find((entry) => entry.sandboxId === sandboxId),
    reachable() {
      listings++
      return entries
    },
    listings: () => listings,
  }
}

it('a link finds its sandbox, and later without a search', () => {
  const directory = directoryOf(100)
  const search = new SignerSearch(directory)
  for (let i = 0; i < 3; i++)
    expect(search.find(link('token-99'), '192.0.2.1')).toMatchObject({ sandboxId: 'i99' })
  expect(directory.listings()).toBe(1)
})

it('a caller with invalid signatures is limited soon and may retry later; other callers are not limited', () => {
  let nowMs = 0
  const search = new SignerSearch(directoryOf(5_000), () => nowMs)
  const outcomes = Array.from({ length: 10 }, (_, i) => search.find(link('none', `/${i}`), '192.0.2.1'))
  expect(outcomes).toEqual([...Array(4).fill(undefined), ...Array(6).fill('exhausted')])
  expect(search.find(link('token-4999'), '192.0.2.2')).toMatchObject({ sandboxId: 'i4999' })
  nowMs += 1_000
  expect(search.find(link('token-4999', '/b'), '192.0.2.1')).toMatchObject({ sandboxId: 'i4999' })
})

it('all callers together are limited too', () => {
  const search = new SignerSearch(directoryOf(5_000), () => 0)
  let searched = 0
  for (let i = 0; i < 100; i++) if (search.find(link('none'), `192.0.2.${i}`) !== 'exhausted') searched++
  expect(searched).toBe(16)
})

it('valid links do not count towards any limit', () => {
  const search = new SignerSearch(directoryOf(5_000), () => 0)
  for (let i = 0; i < 20; i++)
    expect(search.find(link('token-4999', `/${i}`), '192.0.2.1')).toMatchObject({ sandboxId: 'i4999' })
})
