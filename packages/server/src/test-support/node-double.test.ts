import { nodeContract } from '@sandlot/protocol/node-contract'
import { loopbackTo } from '@sandlot/protocol/test-support/loopback-node'
import { NodeDouble } from './node-double.ts'

const underContract = (node: NodeDouble) => ({
  node,
  killMachine: async (machineId: string) => node.kill(machineId),
  unlisted: async () => [...node.unlisted],
  isFrozen: async (machineId: string) => node.frozen.has(machineId),
  close: () => node.close(),
})

nodeContract('the test double', async () => underContract(new NodeDouble()))

nodeContract('the test double behind a wire', async () => {
  const double = new NodeDouble()
  return { ...underContract(double), node: loopbackTo(double).node }
})
