import { expect, test } from 'vitest'
import { sample } from '../programs/programs.ts'
import { runThirdParty } from '../programs/run-third-party.ts'
import { server } from './official.ts'

/** Third-party packages that depend on the clients; `npm run matrix` tries all of them (docs/compatibility.md). */
test.each(sample)(
  '$package $version does everything',
  async (program) => {
    const steps = await runThirdParty(program, server.env)
    expect(steps.filter(({ ok }) => ok !== true)).toEqual([])
    expect(steps.length).toBeGreaterThan(4)
  },
  400_000,
)
