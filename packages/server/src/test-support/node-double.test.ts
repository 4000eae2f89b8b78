import { nodeContract } from '@sandlot/protocol/node-contract'
import { loopbackTo } from '@sandlot/protocol/test-support/loopback-node'
import { NodeDouble } from './node-double.ts'

const underContract = (node: NodeDouble) => ({
  node,
  volumes: { existing: ['v1', 'v2'] as [string, string], missing: 'v3' },
  killMachine: async (machineId: string) => node.kill(machineId),
  unlisted: async () => [...node.unlisted],
  isFrozen: async (machineId: string) => node.frozen.has(machineId),
  close: () => node.close(),
})

function newDouble(): NodeDouble {
  const double = new NodeDouble()
  double.missingVolumes.add('v3')
  return double
}

nodeContract('the test double', async () => underContract(newDouble()))

nodeContract('the test double behind a wire', async () => {
  const double = newDouble()
  return { ...underContract(double), node: loopbackTo(double).node }
})
