import { describe, expect, test } from 'vitest'
import { sample } from '../matrix/clients.ts'
import { install, runProgram } from '../matrix/run-client.ts'
import { server } from './official.ts'

const PROGRAM_TEST_TIMEOUT_MS = 200_000

/** The ages of clients that talk in different ways; all versions are tried by `npm run matrix` (docs/compatibility.md). */
describe.each(sample)('$registry $package $version', (client) => {
  test(
    'does everything that it has',
    async () => {
      await install(client)
      const steps = await runProgram(client, 'host', server.env)
      expect(steps.filter(({ ok }) => ok === false)).toEqual([])
      expect(steps.at(-1)).toEqual({ step: 'kill', ok: true })
    },
    PROGRAM_TEST_TIMEOUT_MS,
  )
})
