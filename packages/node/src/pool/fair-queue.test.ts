import { expect, test } from 'vitest'
import { FairQueue } from './fair-queue.ts'

const any = () => true

function queueOf(...entries: Array<[owner: string, item: string]>): FairQueue<string> {
  const queue = new FairQueue<string>()
  for (const [owner, item] of entries) queue.add(owner, item)
  return queue
}

test('owners take turns, and items of one owner keep their order', () => {
  const queue = queueOf(['a', 'a1'], ['a', 'a2'], ['a', 'a3'], ['b', 'b1'], ['c', 'c1'], ['b', 'b2'])
  expect([...queue]).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
  const taken = Array.from({ length: 7 }, () => queue.take(any))
  expect(taken).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', undefined])
})

test('an owner that adds an item at once does not overtake those that wait', () => {
  const queue = queueOf(['a', 'a1'], ['a', 'a2'], ['b', 'b1'])
  const order: string[] = []
  for (let i = 2; order.length < 4; i++) {
    order.push(queue.take(any)!)
    if (order.at(-1)!.startsWith('b')) queue.add('b', `b${i}`)
  }
  expect(order).toEqual(['a1', 'b1', 'a2', 'b3'])
})

test('only matches are taken, and a postponed item lets other owners go first', () => {
  const queue = queueOf(['a', 'a1'], ['b', 'b1'], ['a', 'a2'])
  expect(queue.take((item) => item.startsWith('b'))).toBe('b1')
  queue.add('b', 'b2')
  queue.postpone((item) => item === 'a1')
  expect([...queue]).toEqual(['b2', 'a1', 'a2'])
})

test('removed items are gone, and an owner without items has no turn', () => {
  const queue = queueOf(['a', 'a1'], ['a', 'a2'])
  queue.remove('a', 'a1')
  queue.remove('a', 'nothing')
  expect([queue.size, [...queue]]).toEqual([1, ['a2']])
  queue.remove('a', 'a2')
  expect([queue.size, [...queue]]).toEqual([0, []])
})
