import { describe, expect, test } from 'vitest'
import { sample } from '../matrix/clients.ts'
import { install, runProgram } from '../matrix/run-client.ts'
import { server } from './official.ts'

const PROGRAM_TEST_TIMEOUT_MS = 200_000

/** One client of each generation with a protocol of its own; `npm run matrix` tries all versions (docs/compatibility.md). */
describe.each(sample)('$registry $package $version', (client) => {
  test(
    'can do everything that it offers',
    async () => {
      await install(client)
      const steps = await runProgram(client, 'host', server.env)
      expect(steps.filter(({ ok }) => ok === false)).toEqual([])
      expect(steps.at(-1)).toEqual({ step: 'kill', ok: true })
    },
    PROGRAM_TEST_TIMEOUT_MS,
  )
})
