import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import type { ObjectStore, StoredObject } from './object-store.ts'

/** Behaviour of every ObjectStore; the test of each implementation runs it against an empty store. */
export function storeContract(store: () => ObjectStore): void {
  const keys = async (prefix: string) => (await collect(store().list(prefix))).map(({ key }) => key).sort()

  test('an object can be read and listed until it is deleted', async () => {
    const content = randomBytes(100_000)
    const before = Date.now()
    await store().put('chunks/ab/one', content)
    expect((await store().get('chunks/ab/one'))?.equals(content)).toBe(true)
    const head = await store().head('chunks/ab/one')
    expect(head).toMatchObject({ key: 'chunks/ab/one', sizeBytes: 100_000 })
    expect(Math.abs(head!.modifiedAtMs - before)).toBeLessThan(10_000)
    expect(await collect(store().list('chunks/'))).toMatchObject([
      { key: 'chunks/ab/one', sizeBytes: 100_000 },
    ])
    expect(await store().delete('chunks/ab/one')).toBe(true)
    expect(await store().get('chunks/ab/one')).toBeUndefined()
  })

  test('a missing object is undefined, and deleting it is not an error', async () => {
    expect(await store().get('chunks/ab/none')).toBeUndefined()
    expect(await store().head('chunks/ab/none')).toBeUndefined()
    expect(await store().delete('chunks/ab/none')).toBe(true)
    expect(await store().delete('chunks/ab/none', { ifUnmodifiedSinceMs: 0 })).toBe(true)
    expect(await keys('chunks/')).toEqual([])
  })

  test('a put replaces an earlier object', async () => {
    await store().put('checkpoints/one.json', Buffer.from('old'))
    await store().put('checkpoints/one.json', Buffer.from('new content'))
    expect((await store().get('checkpoints/one.json'))?.toString()).toBe('new content')
  })

  test('an object may be empty', async () => {
    await store().put('deleting/one', Buffer.alloc(0))
    expect((await store().get('deleting/one'))?.length).toBe(0)
    expect(await keys('deleting/')).toEqual(['deleting/one'])
  })

  test('a list has only objects below its prefix', async () => {
    await store().put('chunks/aa/one', Buffer.from('1'))
    await store().put('chunks/bb/two', Buffer.from('2'))
    await store().put('checkpoints/three.json', Buffer.from('3'))
    expect(await keys('chunks/')).toEqual(['chunks/aa/one', 'chunks/bb/two'])
    expect(await keys('chunks/bb/')).toEqual(['chunks/bb/two'])
  })

  test('a delete with a time spares an object that was modified since', async () => {
    const beforeMs = Date.now() - 60_000
    await store().put('chunks/aa/one', Buffer.from('1'))
    expect(await store().delete('chunks/aa/one', { ifUnmodifiedSinceMs: beforeMs })).toBe(false)
    expect((await store().get('chunks/aa/one'))?.toString()).toBe('1')
    expect(await store().delete('chunks/aa/one', { ifUnmodifiedSinceMs: Date.now() + 60_000 })).toBe(true)
    expect(await store().head('chunks/aa/one')).toBeUndefined()
  })

  test.each(['', '/', '../x', 'a/../b', 'a//b', '.tmp/x', 'a b', 'ä', `a/${'x'.repeat(300)}`])(
    'the key %j is refused',
    async (key) => {
      await expect(store().put(key, Buffer.from('x'))).rejects.toMatchObject({ errorName: 'invalid_request' })
      await expect(store().get(key)).rejects.toMatchObject({ errorName: 'invalid_request' })
      await expect(store().delete(key)).rejects.toMatchObject({ errorName: 'invalid_request' })
    },
  )

  test('a prefix that does not name a folder is refused', async () => {
    await expect(collect(store().list('chunks'))).rejects.toMatchObject({ errorName: 'invalid_request' })
  })
}

async function collect(objects: AsyncIterable<StoredObject>): Promise<StoredObject[]> {
  const all: StoredObject[] = []
  for await (const object of objects) all.push(object)
  return all
}
