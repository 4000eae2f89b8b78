import { LiveMachine } from './machine.ts'
import { type MachinePhase, MachineState } from './machine-state.ts'

/** Returns a machine without a kernel, for unit tests. */
export function machineIn(phase: MachinePhase, machineId: string): LiveMachine {
  const resources = { cpuCount: 1, memoryMB: 512, diskSizeMB: 1024 }
  const record = { machineId, buildId: 'b', imagePath: '/image', guestDir: '/guest', resources, slot: 0 }
  const slot = { index: 0, netnsPath: '/netns', interfaceName: 'veth', address: '127.0.0.1' }
  const state = new MachineState(phase)
  return new LiveMachine({ record, slot, dir: `/run/${machineId}`, cgroup: `test/${machineId}`, state })
}
