import { expect, test } from 'vitest'
import { RecentDemand } from './recent-demand.ts'

test('the target is the peak of any ten seconds, within min and max, and falls after five minutes', () => {
  let now = 0
  const demand = new RecentDemand({ min: 2, max: 8, now: () => now })
  expect(demand.target()).toBe(2)
  for (let i = 0; i < 5; i++) demand.record()
  expect(demand.target()).toBe(5)
  now = 20_000
  for (let i = 0; i < 30; i++) demand.record()
  expect(demand.target()).toBe(8)
  now = 20_000 + 6 * 60_000
  expect(demand.target()).toBe(2)
})
