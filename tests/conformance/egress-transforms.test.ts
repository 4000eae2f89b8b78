import { readFileSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { Sandbox, Secret } from 'e2b-official'
import { createRemoteJWKSet, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Try, tryAll } from '../internet/from-guest.ts'
import { internet, newPath, trusted } from '../internet/injected.ts'
import { apiUrl, currentByUrl, server, useEnvironment } from './official.ts'

const ALL = '0.0.0.0/0'
const AUDIENCE = 'sts.example.com'
const NAME = `key-${process.pid}`
/** Unlike anything else in logs and databases. */
const FIRST = `value-${process.pid}-first-${'s'.repeat(20)}`
const SECOND = `value-${process.pid}-second-${'t'.repeat(20)}`

let sandbox: Sandbox
beforeAll(async () => {
  useEnvironment(currentByUrl)
  await Secret.create(NAME, FIRST)
  sandbox = await Sandbox.create({
    timeoutMs: 600_000,
    iam: { tokens: { cloud: { audience: AUDIENCE, tokenType: 'JWT-SVID' } } },
    network: {
      denyOut: [ALL],
      allowOut: ['*'],
      rules: {
        'allowed.test': [
          {
            transform: {
              headers: {
                'X-Plain': 'set',
                authorization: `Bearer \${e2b.secrets.${NAME.toUpperCase()}}`,
                'x-identity': `\${e2b.identity.tokens.cloud}`,
              },
            },
          },
        ],
        '*.allowed.test': [{ transform: { headers: { 'x-rule': 'wildcard' } } }],
        '*.sub.allowed.test': [{ transform: { headers: { 'x-rule': 'longest wildcard' } } }],
        'gone.example.com': [{ transform: { headers: { x: `\${e2b.secrets.gone-${process.pid}}` } } }],
        'wrong-certificate.test': [{ transform: { headers: { x: 'y' } } }],
        'untrusted.test': [{ transform: { headers: { x: 'y' } } }],
      },
    },
  })
}, 60_000)
afterAll(async () => {
  await sandbox?.kill()
  await Secret.destroy(NAME)
}, 30_000)

const headersAt = async (path: string) => (await internet.requestsFor(path)).map(({ headers }) => headers)
/** Sends with programs of the guest as they are: they trust what the guest trusts. */
const send = (...tries: Array<Extract<Try, { url: string }>>) =>
  tryAll(
    sandbox,
    trusted,
    tries.map((each) => ({ trustsSystemOnly: true, seconds: 15, ...each })),
  )

describe('header transforms', () => {
  test('set headers on HTTP, HTTPS and HTTP/2, and replace those of the sandbox whatever their case', async () => {
    const path = newPath()
    const own = ['-H', 'X-PLAIN: mine', '-H', 'Authorization: mine', '-H', 'x-other: kept']
    const results = await send(
      { url: `http://allowed.test${path}`, args: own },
      { url: `https://allowed.test${path}`, args: ['--http1.1', ...own] },
      { url: `https://allowed.test${path}`, args: ['--http2', ...own] },
    )
    expect(results.map(({ status }) => status)).toEqual([200, 200, 200])
    const requests = await internet.requestsFor(path)
    expect(requests.map(({ isEncrypted }) => isEncrypted).sort()).toEqual([false, true, true])
    for (const { headers, isEncrypted } of requests)
      expect(headers).toMatchObject({
        'x-plain': 'set',
        // anyone on the way could read a secret in plain HTTP
        authorization: isEncrypted ? `Bearer ${FIRST}` : 'mine',
        'x-other': 'kept',
      })
  })

  test('take the exact name, else the longest wildcard, and never both', async () => {
    const path = newPath()
    await send(
      ...['sub.allowed.test', 'deep.sub.allowed.test', 'allowed.test', 'example.com'].map((name) => ({
        url: `http://${name}${path}?${name}`,
      })),
    )
    const found = Object.fromEntries(
      (await internet.requestsFor(path)).map(({ headers }) => [headers.host, headers['x-rule']]),
    )
    expect(found).toEqual({
      'sub.allowed.test': 'wildcard',
      'deep.sub.allowed.test': 'longest wildcard',
      'allowed.test': undefined,
      'example.com': undefined,
    })
  })

  test('leave TLS to other names as it is: the sandbox sees the certificate of the server', async () => {
    const results = await tryAll(sandbox, trusted, [
      { url: 'https://example.com/' },
      { url: 'https://example.com/', trustsSystemOnly: true },
      { url: 'https://allowed.test/' },
    ])
    expect(results.map(({ ok }) => ok)).toEqual([true, false, false])
  })

  test('use a rotated secret for the next request of a connection', async () => {
    const path = newPath()
    const program = `
import http.client, ssl, sys, time, os
connection = http.client.HTTPSConnection('allowed.test', context=ssl.create_default_context())
for turn in ('before', 'after'):
    connection.request('GET', '${path}/' + turn)
    connection.getresponse().read()
    open('/tmp/turn-' + turn, 'w').close()
    while turn == 'before' and not os.path.exists('/tmp/rotated'): time.sleep(0.05)
`
    await sandbox.files.write('/tmp/keep-alive.py', program)
    const running = await sandbox.commands.run('python3 /tmp/keep-alive.py', { background: true })
    await sandbox.commands.run('until [ -e /tmp/turn-before ]; do sleep 0.05; done')
    await Secret.update(NAME, SECOND)
    await sandbox.files.write('/tmp/rotated', '')
    await running.wait()
    expect((await headersAt(path)).map(({ authorization }) => authorization)).toEqual([
      `Bearer ${FIRST}`,
      `Bearer ${SECOND}`,
    ])
  }, 30_000)

  test('answer 502 that names a secret that is gone, and send nothing', async () => {
    const path = newPath()
    const [result] = await send({ url: `https://gone.example.com${path}` })
    expect(result!.status).toBe(502)
    expect(result!.body).toContain(`gone-${process.pid}`)
    expect(await internet.requestsFor(path)).toEqual([])
  })

  test.each(['wrong-certificate.test', 'untrusted.test'])(
    'send nothing to a server whose certificate is not valid: %s',
    async (name) => {
      const path = newPath()
      const [result] = await send({ url: `https://${name}${path}` })
      expect(result!.status).toBe(502)
      expect(await internet.requestsFor(path)).toEqual([])
    },
  )

  test('stream events, take large uploads and WebSockets', async () => {
    const [events, upload] = await send(
      { url: 'https://allowed.test/events/3?everyMs=50' },
      {
        url: 'https://allowed.test/upload',
        args: ['--data-binary', '@/usr/bin/python3', '-H', 'Expect: 100-continue'],
      },
    )
    expect(events!.body).toBe('data: 0\n\ndata: 1\n\ndata: 2\n\n')
    const size = Number((await sandbox.commands.run('stat -Lc %s /usr/bin/python3')).stdout)
    expect(JSON.parse(upload!.body!)).toMatchObject({ sizeBytes: size })
    const path = newPath()
    const program = `
const socket = new WebSocket('wss://allowed.test${path}')
socket.onopen = () => socket.send('hello')
socket.onmessage = ({ data }) => { console.log(data); process.exit(0) }
socket.onerror = ({ message }) => { console.log('error: ' + message); process.exit(1) }`
    await sandbox.files.write('/tmp/socket.mjs', program)
    expect((await sandbox.commands.run('node --experimental-websocket /tmp/socket.mjs')).stdout).toBe(
      'hello\n',
    )
    expect(await headersAt(path)).toMatchObject([{ 'x-plain': 'set' }])
  }, 30_000)
})

test('identity tokens are JWT-SVIDs that verify by the published keys', async () => {
  const path = newPath()
  await send({ url: `https://allowed.test${path}` })
  const [headers] = await headersAt(path)
  const keys = createRemoteJWKSet(new URL('/.well-known/jwks.json', apiUrl))
  const { payload, protectedHeader } = await jwtVerify(headers!['x-identity']!, keys, {
    audience: AUDIENCE,
    algorithms: ['ES256'],
  })
  expect(protectedHeader.kid).toBeTruthy()
  expect(payload.sub).toMatch(new RegExp(`^spiffe://[^/]+/team/[^/]+/sandbox/${sandbox.sandboxId}$`))
  expect(payload.exp! - payload.iat!).toBe(300)
  expect(payload.jti).toBeTruthy()
  const discovery = await (await fetch(`${apiUrl}/.well-known/openid-configuration`)).json()
  expect(payload.iss).toBe(discovery.issuer)
})

test('no value of a secret is in an answer, in the sandbox, or in a file of the server', async () => {
  const values = [FIRST, SECOND]
  const hasValue = (text: string) => values.some((value) => text.includes(value))
  const answers = await Promise.all(
    [`/sandboxes/${sandbox.sandboxId}`, `/sandboxes/${sandbox.sandboxId}/egress`, '/secrets'].map((path) =>
      fetch(`${apiUrl}${path}`, { headers: { 'x-api-key': server.env.E2B_API_KEY! } }).then((r) => r.text()),
    ),
  )
  expect(answers.filter(hasValue)).toEqual([])
  const { stdout } = await sandbox.commands.run(
    `grep -rlsE 'value-${process.pid}-(first|second)-' /home /tmp /etc /run /proc/[0-9]*/environ 2>/dev/null | grep -v tries || true`,
    { user: 'root', timeoutMs: 60_000 },
  )
  expect(stdout).toBe('')
  expect(hasValue(readFileSync(`${server.home}.log`, 'latin1'))).toBe(false)
  const names = (await readdir(server.home)).filter((name) => /^db\.sqlite|\.log$|^env$/.test(name))
  expect(names).not.toEqual([])
  for (const name of names) expect(hasValue(readFileSync(join(server.home, name), 'latin1'))).toBe(false)
}, 90_000)

test('the record says what was sent, what was refused, and why', async () => {
  const path = newPath()
  await send({ url: `https://allowed.test${path}?query=hidden` })
  await tryAll(sandbox, trusted, [
    { url: `https://allowed.test${path}` },
    { tcp: `${internet.addresses.echo}:9000` },
  ])
  const records = async () => {
    const answer = await fetch(`${apiUrl}/sandboxes/${sandbox.sandboxId}/egress?limit=100`, {
      headers: { 'x-api-key': server.env.E2B_API_KEY! },
    })
    return JSON.stringify(await answer.json())
  }
  await expect.poll(records, { timeout: 15_000 }).toContain('tls_rejected_by_client')
  await expect.poll(records, { timeout: 15_000 }).toContain(internet.addresses.echo)
  expect(await records()).toContain(path)
  expect(await records()).not.toContain('query=hidden')
}, 60_000)
