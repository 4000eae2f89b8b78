import { expect, test } from 'vitest'
import { examine } from './doctor.ts'

test('a check that throws or hangs is reported as failed, and the other checks still answer', async () => {
  const findings = await examine<string>(
    {
      fine: (subject) => ({ status: 'ok', detail: subject }),
      throws: () => {
        throw new Error('no such device')
      },
      hangs: () => new Promise(() => {}),
    },
    'the machine',
    20,
  )
  expect(findings).toEqual([
    { name: 'fine', status: 'ok', detail: 'the machine' },
    { name: 'throws', status: 'failed', detail: 'no such device' },
    { name: 'hangs', status: 'failed', detail: 'no answer within 0.02 s' },
  ])
})
