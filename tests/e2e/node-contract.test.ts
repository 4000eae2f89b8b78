import { mkdir, readFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type LocalNode, unlistedIn } from '@sandlot/node'
import { nodeContract } from '@sandlot/protocol/node-contract'
import { loopbackTo } from '@sandlot/protocol/test-support/loopback-node'
import { loadConfig } from '@sandlot/sandlot/config'
import { createMachine } from '@sandlot/sandlot/machine'
import { prepareMachine } from '@sandlot/sandlot/setup/index'
import pino from 'pino'
import { afterAll, beforeAll } from 'vitest'
import { CHECKOUT, rangeOf, sandlot } from '../server.ts'

const home = join(tmpdir(), `sandlot-test-node-contract-${CHECKOUT}`)
const quietly = {
  step: async (_: string, work: (step: { update(): void }) => Promise<string>) =>
    void (await work({ update() {} })),
}

let node: LocalNode

/** One real node for both suites: the second joins it while it runs. */
async function openNode(): Promise<LocalNode> {
  await sandlot(['purge', '--yes', '--home', home])
  await mkdir(home, { recursive: true })
  const { SANDLOT_CACHE } = process.env
  const config = loadConfig({
    env: { ...(SANDLOT_CACHE && { SANDLOT_CACHE }) },
    flags: { home, networkRange: rangeOf('10.167.0.0/16'), poolMin: 1, poolMax: 2 },
  })
  const programs = await prepareMachine(config, quietly)
  return (await createMachine({
    config,
    programs,
    progress: quietly,
    logger: pino({ level: 'silent' }),
    bucket: undefined,
    archivesDir: join(home, 'uploads'),
    quiet: async () => {},
  })) as LocalNode
}

beforeAll(async () => {
  node = await openNode()
}, 20 * 60_000)
afterAll(async () => {
  await node?.close()
  await sandlot(['purge', '--yes', '--home', home])
}, 120_000)

const underContract = () => ({
  node,
  async killMachine(machineId: string) {
    const pid = Number(await readFile(join(home, 'run/machines', machineId, 'pid'), 'utf8'))
    process.kill(pid, 'SIGKILL')
  },
  async unlisted() {
    const { checkpoints, machines } = await unlistedIn(home)
    return [...checkpoints, ...machines].map(({ id }) => id)
  },
  close: async () => {},
})

nodeContract('a real node', async () => underContract())

nodeContract('a real node behind a wire', async () => ({ ...underContract(), node: loopbackTo(node).node }))
