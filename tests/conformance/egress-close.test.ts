import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { Sandbox, type SandboxEgressRecord } from '../../packages/sdk/src/index.ts'
import { internet, trusted } from '../internet/injected.ts'
import { currentByUrl, useEnvironment } from './official.ts'

useEnvironment(currentByUrl)
const ALL = '0.0.0.0/0'
const { nameless, echo } = internet.addresses
const SOON = { timeout: 20_000 }
const program = new URL('../internet/long-connections.py', import.meta.url)

/** Connections through the proxy, by name, and in the kernel, by address: of each way some that the new policy allows. */
const LONG = {
  'http kept': { http: 'allowed.test' },
  'http refused': { http: 'denied.test' },
  'https kept': { https: 'allowed.test' },
  'https refused': { https: 'denied.test' },
  'kernel kept': { echo: `${echo}:9000` },
  'kernel refused': { echo: `${nameless}:9000` },
}
const REFUSED = Object.keys(LONG).filter((name) => name.endsWith('refused'))
const KEPT = Object.keys(LONG).filter((name) => name.endsWith('kept'))

/** Lets a sandbox hold the connections. `events` grows by what it reports. */
async function hold(sandbox: Sandbox) {
  await sandbox.files.write([
    { path: '/tmp/long.py', data: await readFile(program, 'utf8') },
    { path: '/tmp/trusted.pem', data: trusted },
    { path: '/tmp/long.json', data: JSON.stringify(LONG) },
  ])
  const events: Array<{ open?: string; cut?: string; alive?: string[] }> = []
  let rest = ''
  const command = await sandbox.commands.run('python3 /tmp/long.py /tmp/long.json /tmp/stop', {
    background: true,
    timeoutMs: 0,
    onStdout: (text) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop()!
      events.push(...lines.map((line) => JSON.parse(line)))
    },
  })
  await expect.poll(() => events, SOON).toEqual(Object.keys(LONG).map((open) => ({ open })))
  events.length = 0
  const stop = async () => {
    await sandbox.files.write('/tmp/stop', '')
    await command.wait()
  }
  return { events, stop }
}

async function recorded(sandbox: Sandbox): Promise<SandboxEgressRecord[]> {
  const found: SandboxEgressRecord[] = []
  for await (const record of sandbox.egress()) found.push(record)
  return found
}

test('closeExisting cuts what the new policy refuses, through the proxy and in the kernel; what it allows lives on', async () => {
  const network = { denyOut: [ALL], allowOut: ['allowed.test', 'denied.test', echo, nameless] }
  const sandbox = await Sandbox.create({ timeoutMs: 300_000, network })
  const { events, stop } = await hold(sandbox)
  const update = { denyOut: [ALL], allowOut: ['allowed.test', echo] }

  await sandbox.updateNetwork(update)
  await sandbox.commands.run('sleep 1')
  expect(events, 'open connections live on without closeExisting').toEqual([])

  await sandbox.updateNetwork(update, { closeExisting: true })
  await expect.poll(() => events.map(({ cut }) => cut).sort(), SOON).toEqual([...REFUSED].sort())
  await sandbox.commands.run('sleep 1')
  await stop()
  expect(events.at(-1)).toEqual({ alive: KEPT })

  const cut = { verdict: 'failed', reason: 'policy_changed', name: 'denied.test' }
  await expect
    .poll(() => recorded(sandbox), SOON)
    .toEqual(
      expect.arrayContaining([
        expect.objectContaining({ ...cut, protocol: 'tls', port: 443 }),
        expect.objectContaining({ address: nameless, port: 9000, rule: `allow ${nameless}/32` }),
        expect.objectContaining({ address: echo, port: 9000, rule: `allow ${echo}/32` }),
      ]),
    )
  await sandbox.kill()
}, 90_000)
