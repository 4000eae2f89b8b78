import { expect, test } from 'vitest'
import { EventLog, EventReceiver, type NodeEvent, type SandboxNode } from '../node/index.ts'
import { loopbackTo } from './loopback-node.ts'

const exit = (machineId: string): NodeEvent => ({ type: 'exit', machineId, reason: 'it died' })
const settle = () => new Promise(setImmediate)

test('a broken connection neither loses nor repeats an event', async () => {
  const log = new EventLog((error) => {
    throw error
  })
  const target = {
    subscribe: (after, receive) => log.subscribe(after, receive),
    acknowledge: async (position) => log.acknowledge(position),
  } as Pick<SandboxNode, 'subscribe' | 'acknowledge'> as SandboxNode
  const wire = loopbackTo(target)
  const handled: string[] = []
  const receiver = new EventReceiver(wire.node, (error) => {
    throw error
  })
  receiver.on('exit', ({ machineId }) => void handled.push(machineId))
  receiver.start()
  log.emit(exit('arrives'))
  await settle()
  log.emit(exit('on its way'))
  wire.drop()
  log.emit(exit('while it is broken'))
  await settle()
  expect(handled).toEqual(['arrives'])
  wire.reconnect()
  await settle()
  expect(handled).toEqual(['arrives', 'on its way', 'while it is broken'])
  const left: NodeEvent[] = []
  log.subscribe(undefined, ({ event }) => left.push(event)).close()
  expect(left).toEqual([])
})
