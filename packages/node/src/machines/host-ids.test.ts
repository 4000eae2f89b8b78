import { expect, test } from 'vitest'
import { guestIds, HOST_IDS, hostIdsFor } from './host-ids.ts'

const everything = '         0          0 4294967295\n'
const container = '         0     100000      65536\n'

test('slots and instances never share an id, and no id belongs to a user', () => {
  const [a, b] = [
    hostIdsFor('0000', [everything, everything])!,
    hostIdsFor('3fff', [everything, everything])!,
  ]
  const ids = [a(0), a(1), a(15_999), b(0), b(15_999)]
  expect(new Set(ids).size).toBe(ids.length)
  for (const id of ids) {
    expect(id).toBeGreaterThanOrEqual(0x7000_0000)
    expect(id).toBeLessThan(0x8000_0000)
  }
})

test('in a container, ids of the container are used', () => {
  const ids = hostIdsFor('ffff', [container, container])!
  expect([ids(0), ids(15_999)]).toEqual([32_768, 48_767])
})

test('when too few ids exist, none are assigned', () => {
  expect(hostIdsFor('ffff', [everything, '0 1000 1\n'])).toBeUndefined()
})

test('no kernel has an id of a user of a guest, on the host and in a container', () => {
  const guests = guestIds([everything, everything])!
  for (const instance of ['0000', '3ffb', '3ffc', 'ffff'])
    expect(hostIdsFor(instance, [everything, everything])!(HOST_IDS - 1)).toBeLessThan(guests.first)
  expect(guests.first + guests.count).toBe(0x8000_0000)
  const inside = guestIds([container, container])!
  expect(hostIdsFor('ffff', [container, container])!(HOST_IDS - 1)).toBeLessThan(inside.first)
  expect(inside.first + inside.count).toBe(65_536)
  expect(guestIds(['0 1000 1\n'])).toBeUndefined()
})
