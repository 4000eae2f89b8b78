/**
 * A server process for tests that kill it: opens a node and starts, pauses, resumes and ends machines with a volume without
 * end. Reports `joined`, then each machine that it starts, over IPC.
 */
import { newCheckpointId } from '@sandlot/protocol'
import { OPEN, type VolumeMount } from '@sandlot/protocol/node'
import { FolderVolumes, openRealNode } from './real-node.ts'

const [home, imageOf, networkRange, volumesDir, sessionId] = process.argv.slice(2) as [
  string,
  string,
  string,
  string,
  string,
]
const volumes = new FolderVolumes(volumesDir)
const mount = (path: string, isReadOnly = false): VolumeMount => ({
  volumeId: 'data',
  name: 'data',
  path,
  isReadOnly,
})

const node = await openRealNode({ home, imageOf, networkRange, volumes })
const { builds } = await node.join({
  instanceId: 'a0000000-0000-4000-8000-000000000000',
  sessionId,
  inUse: [],
  frozen: [],
  ended: [],
  checkpoints: [],
  builds: [],
})
process.send!('joined')
for (;;) {
  const [first, second] = [mount('/mnt/data'), mount('/ro', true)]
  const options = { owner: 'team', sandboxId: 'isandbox', network: OPEN, volumes: [first] }
  const { machineId } = await node.acquire(builds[0]!.buildId, options)
  await node.mountVolume(machineId, second)
  await node.unmountVolume(machineId, '/mnt/data')
  const checkpointId = newCheckpointId()
  await node.pause(machineId, checkpointId, { hasMemory: true })
  await node.stop(machineId)
  const resumed = await node.resume(checkpointId, { ...options, volumes: [first, second], hasMemory: true })
  await node.stop(resumed.machineId)
  await node.removeCheckpoint(checkpointId)
}
