import { SandlotError } from '@sandlot/protocol'
import { expect, test } from 'vitest'
import { VolumeTable } from '../volumes/volume-table.ts'
import { findHolders, findObstacle, obstacleError } from './save-obstacles.ts'

const failed = (detail: string) => new SandlotError('checkpoint_failed', `runsc checkpoint failed: ${detail}`)
const TUN = failed(
  'encoding error: /dev/net/tun does not support save/restore when a device is associated with it.',
)
const STALE = failed("prepareSaveDead: invalidated dentries can't be saved")

const BRIDGE = failed('encoding error: struct stack.BridgeFDBEntry does not implement SaverLoader')

const machineThatAnswers = (status: number, words: string) => {
  const asked: unknown[] = []
  const ask = async (route: string, body: unknown) => {
    asked.push([route, body])
    return { status, words }
  }
  return { asked, machine: { volumes: new VolumeTable(), guest: { ask } } }
}

test('other failures are not explained', () => {
  expect(findObstacle(failed('no space left'))).toBeUndefined()
  expect(findObstacle('text')).toBeUndefined()
})

test.each([
  [TUN, '/tun', 'process 7 (openvpn) holds /dev/net/tun, and tun devices cannot be saved: end it first'],
  [STALE, '/volumes/stale', 'process 7 (openvpn) holds /dev/net/tun, which another sandbox has deleted'],
  [BRIDGE, '/bridges', 'process 7 (openvpn) holds /dev/net/tun, and bridges that have passed packets cannot'],
])('the error names what envd found', async (error, route, sentence) => {
  const { asked, machine } = machineThatAnswers(200, 'process 7 (openvpn) holds /dev/net/tun')
  const obstacle = findObstacle(error)!
  const holders = await findHolders(obstacle, machine, { kill: true })
  expect(asked).toEqual([[route, { paths: [], kill: true }]])
  const explained = obstacleError(obstacle, holders, error)
  expect(explained.errorName).toBe('checkpoint_blocked')
  expect(explained.message).toContain(sentence)
})

test('an envd without the route leaves the error without a name', async () => {
  const { machine } = machineThatAnswers(404, '404 page not found')
  const obstacle = findObstacle(TUN)!
  expect(await findHolders(obstacle, machine, { kill: false })).toBe('')
  expect(obstacleError(obstacle, '', TUN).message).toContain('a process holds a tun device, and')
})
