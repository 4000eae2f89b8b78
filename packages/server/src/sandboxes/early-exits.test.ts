import { expect, test } from 'vitest'
import { EarlyExits } from './early-exits.ts'

test('the exit of a machine is reported once, to the sandbox that gets the machine', () => {
  const exits = new EarlyExits()
  exits.add('m1', 'it died')
  expect([exits.take('m2'), exits.take('m1'), exits.take('m1')]).toEqual([undefined, 'it died', undefined])
})

test('exits that no sandbox asks for do not accumulate', () => {
  const exits = new EarlyExits()
  for (let i = 0; i <= 10_000; i++) exits.add(`m${i}`, 'it died')
  expect([exits.take('m0'), exits.take('m1')]).toEqual([undefined, 'it died'])
})
