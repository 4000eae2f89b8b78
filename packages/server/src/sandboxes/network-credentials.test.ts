import { pino } from 'pino'
import { expect, test } from 'vitest'
import { serverUnderTest } from '../test-support/server-under-test.ts'

const lines: string[] = []
const logger = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
const under = serverUnderTest({ logger })

const PASSWORD = 'hunter2-of-the-proxy'
const HEADER = 'Bearer hunter2-of-the-header'
const network = {
  allowOut: ['api.example'],
  denyOut: ['0.0.0.0/0'],
  rules: { 'api.example': [{ transform: { headers: { authorization: HEADER } } }] },
  egressProxy: { address: '1.1.1.1:1080', username: 'me', password: PASSWORD },
}

test('passwords of proxies and values of headers are in no log line, no event and no error', async () => {
  const t = under.current
  const { sandboxID: id } = await t.create({ network })
  const answers = [
    await t.call('PUT', `/sandboxes/${id}/network`, network),
    // what is wrong is said without the values beside it
    await t.call('PUT', `/sandboxes/${id}/network`, {
      ...network,
      egressProxy: { ...network.egressProxy, address: `me:${PASSWORD}@proxy` },
    }),
    await t.call('PUT', `/sandboxes/${id}/network`, {
      rules: { 'a.com': [{ transform: { headers: { a: `${HEADER}\r\n` } } }] },
    }),
    await t.call('PUT', `/sandboxes/${id}/network`, {
      rules: { 'a.com': [{ transform: { headers: { a: HEADER.repeat(200) } } }] },
    }),
    await t.call('PUT', `/sandboxes/${id}/network`, {
      egressProxy: { ...network.egressProxy, password: [PASSWORD] },
    }),
    await t.call('PUT', `/sandboxes/${id}/network`, {
      rules: { 'a.com': [{ transform: { headers: { a: [HEADER] } } }] },
    }),
  ]
  t.node.failSetNetwork = 1
  answers.push(await t.call('PUT', `/sandboxes/${id}/network`, network))
  expect(answers.map(({ status }) => status)).toEqual([204, 400, 400, 400, 400, 400, 503])
  await t.act(id, 'pause')
  await t.act(id, 'connect', { timeout: 100 })
  await t.act(id, 'fork')
  await t.crash()
  const detail = await t.call('GET', `/sandboxes/${id}`)
  await t.call('DELETE', `/sandboxes/${id}`)
  const events = await t.call('GET', '/events/sandboxes?limit=100')
  const logs = await t.call('GET', `/sandboxes/${id}/logs`)
  const written = JSON.stringify([lines, answers, events.body, logs.body])
  expect(lines.length).toBeGreaterThan(10)
  expect(written).not.toContain(PASSWORD)
  expect(written).not.toContain('hunter2-of-the-header')
  // the owner sees the headers again, but not the password
  expect(JSON.stringify(detail.body)).toContain(HEADER)
  expect(JSON.stringify(detail.body)).not.toContain(PASSWORD)
})
