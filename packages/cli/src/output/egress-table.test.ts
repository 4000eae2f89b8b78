import { expect, test } from 'vitest'
import { type EgressRecord, EgressTable, hintFor } from './egress-table.ts'

const record = (fields: Partial<EgressRecord> = {}): EgressRecord => ({
  startedAt: '2026-01-02T03:04:05.678Z',
  protocol: 'tls',
  name: 'pypi.org',
  address: '151.101.0.223',
  port: 443,
  bytesOut: 517,
  bytesIn: 0,
  verdict: 'denied',
  rule: 'deny 0.0.0.0/0',
  ...fields,
})
const time = new Date('2026-01-02T03:04:05.678Z').toLocaleTimeString('en-GB')

test('connections are aligned below their titles, also those that come later', () => {
  const table = new EgressTable()
  const http = { method: 'GET', host: 'a.com', path: '/x', status: 502 }
  expect(table.format([record(), record({ name: undefined, address: '1.1.1.1', port: undefined })])).toBe(
    [
      'TIME      VERDICT  PROTOCOL  DESTINATION               ADDRESS               SENT       RECEIVED   RULE                  REASON',
      `${time}  denied   tls       pypi.org                  151.101.0.223:443     517 B      0 B        deny 0.0.0.0/0`,
      `${time}  denied   tls       -                         1.1.1.1               517 B      0 B        deny 0.0.0.0/0`,
    ].join('\n'),
  )
  expect(
    table.format([record({ reason: 'secret_missing', verdict: 'failed', http, bytesIn: 2 ** 20 })]),
  ).toBe(
    `${time}  failed   tls       pypi.org                  151.101.0.223:443     517 B      1.0 MiB    deny 0.0.0.0/0        secret_missing  GET /x → 502`,
  )
})

test('names from a sandbox cannot act on the terminal', () => {
  const line = new EgressTable().format([record({ name: 'a\u001b[2J\u001b]0;x\u0007b\nc\u202e' })])
  // biome-ignore lint/suspicious/noControlCharactersInRegex: none may be left
  expect(line.split('\n').at(-1)).not.toMatch(/[\u0000-\u001f\u202e]/)
  expect(line.split('\n')).toHaveLength(2)
})

test('a hint names what was denied, and explains reasons', () => {
  expect(hintFor([])).toBeUndefined()
  expect(hintFor(['pypi.org', ''])).toBe(
    "\nDenied: pypi.org. To allow one, add it to allowOut of the sandbox's network (sandbox.updateNetwork).",
  )
  expect(hintFor(['a.com'], ['secret_missing', 'unknown', 'toString'])).toBe(
    "\nDenied: a.com. To allow one, add it to allowOut of the sandbox's network (sandbox.updateNetwork).\nsecret_missing: a rule uses a secret that does not exist: `e2b secret list`.",
  )
  expect(hintFor(Array.from({ length: 10 }, (_, index) => `${index}.com`))).toContain('7.com and 2 more.')
})
