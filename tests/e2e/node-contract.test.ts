import { access, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type LocalNode, unlistedIn } from '@sandlot/node'
import { nodeContract } from '@sandlot/protocol/node-contract'
import { loopbackTo } from '@sandlot/protocol/test-support/loopback-node'
import { afterAll, beforeAll, inject } from 'vitest'
import { FolderVolumes, nodeHome, openRealNode, removeHome } from './real-node.ts'

const home = nodeHome('node-contract')
const volumes = new FolderVolumes(`${home}-volumes`)

let node: LocalNode

// one real node for both suites: the second joins it while it runs
beforeAll(async () => {
  await removeHome(home)
  for (const volumeId of ['v1', 'v2']) await volumes.create(volumeId)
  node = await openRealNode({ home, imageOf: inject('server').home, networkRange: '10.167.0.0/16', volumes })
}, 20 * 60_000)
afterAll(async () => {
  await node?.close()
  await removeHome(home)
  await rm(volumes.dir, { recursive: true, force: true })
}, 120_000)

const underContract = () => ({
  node,
  volumes: { existing: ['v1', 'v2'] as [string, string], missing: 'v3' },
  async killMachine(machineId: string) {
    const pid = Number(await readFile(join(home, 'run/machines', machineId, 'pid'), 'utf8'))
    process.kill(pid, 'SIGKILL')
  },
  async unlisted() {
    const { checkpoints, machines } = await unlistedIn(home)
    return [...checkpoints, ...machines].map(({ id }) => id)
  },
  isFrozen: (machineId: string) => pathExists(join(home, 'run/machines', machineId, 'frozen')),
  close: async () => {},
})

const pathExists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

nodeContract('a real node', async () => underContract())

nodeContract('a real node behind a wire', async () => ({ ...underContract(), node: loopbackTo(node).node }))
