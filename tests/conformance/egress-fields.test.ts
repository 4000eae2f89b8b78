import { expect, test } from 'vitest'
import {
  callApi,
  clients,
  currentByUrl,
  describeClients,
  fetchWithin,
  oursByUrl,
  ownSandboxes,
  rejection,
  v1ByHost,
} from './official.ts'

const ALL = '0.0.0.0/0'
const TRANSFORM = { transform: { headers: { 'x-header': 'content' } } }

describeClients(
  'network fields',
  (client) => {
    const own = ownSandboxes(client)

    test('are kept and shown', async () => {
      const network = {
        allowOut: ['1.1.1.1', '8.8.8.0/24', 'api.example.com', '*.github.com'],
        denyOut: [ALL],
        rules: { 'api.example.com': [TRANSFORM] },
        allowPublicTraffic: false,
        maskRequestHost: 'localhost:${PORT}',
      }
      const sandbox = await own({ network })
      expect(sandbox.trafficAccessToken).toBeTruthy()
      expect((await sandbox.getInfo()).network).toMatchObject(network)
      await sandbox.updateNetwork({ denyOut: ['8.8.8.8'] })
      const info = (await sandbox.getInfo()).network!
      expect(info).toMatchObject({ denyOut: ['8.8.8.8'], allowPublicTraffic: false })
      expect(info.allowOut ?? []).toEqual([])
      expect(info.rules ?? {}).toEqual({})
    })

    test('may be callbacks that get the rules and the range of all traffic', async () => {
      const sandbox = await own({
        network: {
          allowOut: ({ rules }) => [...rules.keys()],
          denyOut: ({ allTraffic }) => [allTraffic],
          rules: new Map([['api.example.com', [TRANSFORM]]]),
        },
      })
      expect((await sandbox.getInfo()).network).toMatchObject({
        allowOut: ['api.example.com'],
        denyOut: [ALL],
        rules: { 'api.example.com': [TRANSFORM] },
      })
    })

    test.each([
      [{ denyOut: ['example.com'] }, 'invalid denied CIDR example.com'],
      [{ denyOut: ['10.0.0.0/33'] }, 'invalid denied CIDR 10.0.0.0/33'],
      [{ allowOut: ['0.0.0.0'] }, 'invalid allowed address 0.0.0.0'],
      [{ allowOut: ['http://a.com'], denyOut: [ALL] }, 'invalid allowed address http://a.com'],
      [
        { allowOut: ['a.com'] },
        "When specifying allowed domains in allow out, you must include 'ALL_TRAFFIC' in deny out to block all other traffic.",
      ],
      [{ maskRequestHost: 'a b' }, 'mask request host is not valid'],
      [{ maskRequestHost: 'ü.com' }, 'is not ASCII'],
    ])('%j: %s', async (network, message) => {
      expect((await rejection(own({ network }))).message).toContain(message)
    })
  },
  [currentByUrl, v1ByHost, oursByUrl].filter((client) => clients.includes(client)),
)

describeClients(
  'network fields of the newest client',
  (client) => {
    const own = ownSandboxes(client)

    test('are kept, without the password of the proxy', async () => {
      const network = {
        egressProxy: { address: 'proxy.example.com:1080', username: 'me', password: 'hunter2' },
        httpsPorts: [8443],
      }
      const sandbox = await own({ network })
      const info = await sandbox.getInfo()
      expect(info.network).toMatchObject({
        egressProxy: { address: 'proxy.example.com:1080', username: 'me' },
        httpsPorts: [8443],
      })
      expect(JSON.stringify(info)).not.toContain('hunter2')
    })

    const headers = (value: string) => ({ rules: { 'a.com': [{ transform: { headers: { x: value } } }] } })
    test.each([
      [{ httpsPorts: [49_983] }, '49983'],
      [{ httpsPorts: [443, 443] }, '443'],
      [{ egressProxy: { address: '127.0.0.1:1080' } }, 'Invalid egress proxy config'],
      [{ egressProxy: { address: 'a.com:1080', password: 'p' } }, 'Invalid egress proxy config'],
      [headers('${e2b.secrets.}'), 'Network transform header contains a malformed E2B placeholder.'],
      [headers('${e2b.secrets.${e2b.x}}'), 'Network transform header contains a malformed E2B placeholder.'],
      [{ rules: { '*': [TRANSFORM] } }, '*'],
      [{ rules: { 'a.com': [TRANSFORM, TRANSFORM] } }, '1 transform'],
    ])('%j: %s', async (network, message) => {
      expect((await rejection(own({ network }))).message).toContain(message)
    })

    test.each([
      ['', 'JWT-SVID', 'iam.tokens.t.audience: audience is required'],
      ['a', 'JWT', 'iam.tokens.t.tokenType: only "JWT-SVID" is supported'],
    ])('iam.tokens of audience %j and type %j are refused', async (audience, tokenType, message) => {
      const iam = { tokens: { t: { audience, tokenType: tokenType as 'JWT-SVID' } } }
      expect((await rejection(own({ iam }))).message).toContain(message)
    })

    test('an update of a sandbox that does not exist is answered 404, of a paused one 409', async () => {
      const put = (id: string) =>
        callApi(`/sandboxes/${id}/network`, {
          method: 'PUT',
          headers: { 'content-type': 'application/json' },
          body: '{}',
        })
      expect((await put('inope')).status).toBe(404)
      const sandbox = await own()
      await sandbox.pause()
      expect((await put(sandbox.sandboxId)).status).toBe(409)
    })
  },
  [currentByUrl],
)

describeClients(
  'the way in',
  (client) => {
    const own = ownSandboxes(client)

    test('needs the token without public traffic, sees the masked Host, and reaches HTTPS ports', async () => {
      const sandbox = await own({
        network: {
          allowPublicTraffic: false,
          maskRequestHost: 'app.internal:${PORT}',
          httpsPorts: [8443],
        },
      })
      await sandbox.files.write('/tmp/server.py', SERVER)
      await sandbox.commands.run('python3 /tmp/server.py > /tmp/server.log 2>&1', {
        background: true,
        timeoutMs: 0,
      })
      await sandbox.commands.run('until grep -q ready /tmp/server.log; do sleep 0.05; done')
      const token = { 'e2b-traffic-access-token': sandbox.trafficAccessToken! }
      const get = (port: number, headers: Record<string, string> = {}) =>
        fetchWithin(`https://${sandbox.getHost(port)}/`, { headers })
      const refused = await get(8000)
      expect(refused.status).toBe(403)
      expect(await refused.text()).toContain('e2b-traffic-access-token')
      expect(await (await get(8000, token)).text()).toBe('plain app.internal:8000')
      expect(await (await get(8443, token)).text()).toBe('tls app.internal:8443')
    }, 60_000)
  },
  [currentByUrl],
)

const SERVER = `
import http.server, ssl, subprocess, threading

def handler(kind):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = f"{kind} {self.headers['Host']}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    return Handler

subprocess.run("openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=x -keyout /tmp/k.pem -out /tmp/c.pem", shell=True, check=True)
plain = http.server.ThreadingHTTPServer(("0.0.0.0", 8000), handler("plain"))
threading.Thread(target=plain.serve_forever).start()
secure = http.server.ThreadingHTTPServer(("0.0.0.0", 8443), handler("tls"))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tmp/c.pem", "/tmp/k.pem")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
print("ready", flush=True)
secure.serve_forever()
`

test('an answer says that rules do not allow a name', async () => {
  const answer = await callApi('/v2/sandboxes', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      templateID: 'base',
      timeout: 60,
      network: { denyOut: [ALL], rules: { 'api.example.com': [TRANSFORM] } },
    }),
  })
  expect(answer.status).toBe(201)
  const body = (await answer.json()) as { sandboxID: string; warnings?: string[] }
  const warnings = [
    'network rules for api.example.com do not allow it: add it to allowOut, else no connection to it passes',
  ]
  expect(body.warnings).toEqual(warnings)
  const detail = await callApi(`/sandboxes/${body.sandboxID}`)
  expect(await detail.json()).toMatchObject({ warnings })
  await callApi(`/sandboxes/${body.sandboxID}`, { method: 'DELETE' })
})
