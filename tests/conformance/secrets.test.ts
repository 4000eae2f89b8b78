import { afterAll, describe, expect, test } from 'vitest'
import { callApi, describeClients, eachNewClient, rejection, runId } from './official.ts'

const VALUE = 'value-that-nobody-may-see'
const made: string[] = []
let count = 0
const newName = (): string => {
  const name = `${runId}-${++count}`
  made.push(name)
  return name
}
afterAll(async () => {
  for (const name of made) await callApi(`/secrets/${name}`, { method: 'DELETE' })
})

describeClients(
  'secrets',
  (client) => {
    const { Secret, SecretError, SecretNotFoundError } = client.e2b

    test('are created, described, updated and destroyed, by name and by id', async () => {
      const name = newName()
      const created = await Secret.create(name.toUpperCase(), VALUE, { metadata: { owner: 'ann' } })
      expect(created).toEqual({
        secretId: expect.stringMatching(/^sec_/),
        name,
        version: 1,
        metadata: { owner: 'ann' },
        createdAt: expect.any(Date),
        updatedAt: created.createdAt,
      })
      expect(await Secret.getInfo(created.secretId)).toEqual(created)
      expect(await Secret.getInfo(name)).toEqual(created)
      const updated = await Secret.update(name, 'second')
      expect(updated).toMatchObject({ secretId: created.secretId, version: 2, metadata: { owner: 'ann' } })
      expect(updated.updatedAt >= created.updatedAt).toBe(true)
      expect(await Secret.update(created.secretId, 'third', { metadata: {} })).toMatchObject({
        version: 3,
        metadata: {},
      })
      expect(await Secret.exists(name)).toBe(true)
      expect(await Secret.destroy(name)).toBe(true)
      expect(await Secret.exists(created.secretId)).toBe(false)
      expect(await Secret.destroy(created.secretId)).toBe(false)
    })

    test('are listed in pages', async () => {
      const names = [newName(), newName(), newName()]
      for (const name of names) await Secret.create(name, VALUE)
      const pages = Secret.list({ limit: 2 })
      const found: string[] = []
      while (pages.hasNext) {
        const page = await pages.nextItems()
        expect(page.length).toBeLessThanOrEqual(2)
        found.push(...page.map(({ name }) => name))
      }
      expect(found).toEqual(expect.arrayContaining(names))
      expect(new Set(found).size).toBe(found.length)
      for (const name of names) await Secret.destroy(name)
    })

    test('that do not exist, are taken or are too large are errors of their own class', async () => {
      const name = newName()
      for (const call of [() => Secret.getInfo(name), () => Secret.update(name, 'x')])
        expect(await rejection(call())).toBeInstanceOf(SecretNotFoundError)
      await Secret.create(name, VALUE)
      const taken = await rejection(Secret.create(name, VALUE))
      expect(taken).toBeInstanceOf(SecretError)
      expect(taken.message).toContain(`409: a secret named '${name}' exists already in this team`)
      const large = await rejection(Secret.update(name, 'x'.repeat(65_537)))
      expect(large.message).toContain('value has 65537 bytes, at most 65536 (64 KiB) are allowed')
      expect((await rejection(Secret.create('sec_a', VALUE))).message).toContain("begins with 'sec_'")
      for (const error of [taken, large]) expect(String(error.stack)).not.toContain(VALUE)
      await Secret.destroy(name)
    })
  },
  eachNewClient,
)

describe('over the wire', () => {
  test('no answer contains the value or may be cached', async () => {
    const name = newName()
    const body = (value: string) => ({
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ name, value }),
    })
    const answers = [
      await callApi('/secrets', body(VALUE)),
      await callApi('/secrets', body(VALUE)),
      await callApi(`/secrets/${name}`, body(VALUE)),
      await callApi(`/secrets/${name}`),
      await callApi('/secrets'),
      await callApi('/secrets', { headers: { 'X-API-KEY': 'wrong' } }),
      await callApi(`/secrets/${name}`, { method: 'DELETE' }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([201, 409, 200, 200, 200, 401, 204])
    for (const answer of answers) {
      expect(answer.headers.get('cache-control')).toBe('no-store')
      expect(await answer.text()).not.toContain(VALUE)
    }
  })
})
