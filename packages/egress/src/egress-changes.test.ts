import type { Socket } from 'node:net'
import { ALL_RANGES, OPEN } from '@sandlot/protocol/node'
import { describe, expect, test } from 'vitest'
import { EgressWorld, received } from './test-support/egress-world.ts'
import { SANDBOX } from './test-support/private-network.ts'

const world = new EgressWorld()

describe('live changes', () => {
  const established = async (): Promise<Socket> => {
    await world.serve('192.0.2.10', 7_005, (socket) => socket.pipe(socket))
    const client = await world.network.connect('192.0.2.10', 7_005)
    client.on('error', () => {})
    client.write('x')
    await new Promise((resolve) => client.once('data', resolve))
    return client
  }
  const echoes = (client: Socket) =>
    new Promise<boolean>((resolve) => {
      client.once('data', () => resolve(true)).once('close', () => resolve(false))
      client.write('y')
    })

  test('a new policy holds for new connections only', async () => {
    world.setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    world.allowOnly('x.test')
    expect(await echoes(client)).toBe(true)
    expect(await received(await world.network.connect('192.0.2.10', 7_005))).toBe('<ECONNRESET>')
    client.destroy()
  })

  test('closeExisting cuts what the new policy refuses, and only that', async () => {
    world.setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    world.setPolicy({ allowNames: ['y.test'], allowRanges: ['192.0.2.0/24'], denyRanges: [ALL_RANGES] }, true)
    expect(await echoes(client)).toBe(true)
    world.setPolicy({ allowNames: ['y.test'], denyRanges: [ALL_RANGES] }, true)
    expect(await echoes(client)).toBe(false)
    await world.recorded({ verdict: 'failed', reason: 'policy_changed' })
  })

  test('the connections of a removed sandbox are cut', async () => {
    world.setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    const closed = new Promise((resolve) => client.once('close', resolve))
    world.egress.removePolicy(SANDBOX)
    await closed
  })

  test('another sandbox at an address inherits no connections', async () => {
    world.setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    const closed = new Promise((resolve) => client.once('close', resolve))
    world.egress.setPolicy(SANDBOX, { sandboxId: 'other', teamId: 'team-1' }, OPEN)
    await closed
  })

  test('an idle connection is cut', async () => {
    world.setPolicy({ allowNames: ['x.test'] })
    const client = await established()
    await new Promise((resolve) => client.once('close', resolve))
    await world.recorded({ verdict: 'failed', reason: 'idle_timeout' })
  })
})
