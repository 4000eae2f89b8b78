import { BuildFailure } from '@sandlot/protocol'
import type { BuildJob, BuildResult, NodeEvent } from '@sandlot/protocol/node'
import { beforeEach, expect, test } from 'vitest'
import { FolderArchives } from '../images/archive-source.ts'
import { BuildRuns } from './build-runs.ts'
import type { BuildWork } from './build-work.ts'

const RESULT = { checkpoint: { checkpointId: 'c1' }, environment: {} } as unknown as BuildResult

let events: NodeEvent[]
let build: (work: BuildWork) => Promise<BuildResult>
let quietMoments: number
let runs: BuildRuns

beforeEach(() => {
  events = []
  build = async () => RESULT
  quietMoments = 0
  runs = new BuildRuns({
    build: (work) => build(work),
    archives: new FolderArchives('/archives'),
    quiet: async () => void quietMoments++,
    emit(event) {
      events.push(event)
      if (event.type === 'buildReady') runs.proceed(event.buildId)
    },
  })
})

const jobOf = (changes: Partial<BuildJob> = {}): BuildJob => ({
  buildId: 'b1',
  checkpointId: 'c1',
  isBackground: false,
  recipe: { scope: 'team' } as BuildJob['recipe'],
  ...changes,
})
const types = () => events.map(({ type }) => type)
const end = () => expect.poll(() => events.at(-1)).toMatchObject({ type: 'buildEnded', buildId: 'b1' })

test('steps of background builds wait until no start is pending and give their place away meanwhile; other builds do not', async () => {
  build = async ({ beforeStep }) => {
    await beforeStep?.()
    return RESULT
  }
  runs.start(jobOf())
  await end()
  expect([quietMoments, types()]).toEqual([0, ['buildEnded']])
  events = []
  runs.start(jobOf({ buildId: 'b2', isBackground: true }))
  await expect.poll(types).toEqual(['buildWaiting', 'buildReady', 'buildEnded'])
  expect(quietMoments).toBe(1)
})

test('a second start of a build does nothing, while it runs and after it has ended', async () => {
  let count = 0
  build = async () => {
    count++
    return RESULT
  }
  runs.start(jobOf())
  runs.start(jobOf())
  expect(runs.running()).toEqual(['b1'])
  await end()
  runs.start(jobOf())
  expect([count, runs.running(), types()]).toEqual([1, [], ['buildEnded']])
})

test('archives are found by the team of the build and the hash of the step', async () => {
  const paths: string[] = []
  build = async ({ useArchive }) => {
    await useArchive('hash', async (path) => void paths.push(path))
    return RESULT
  }
  runs.start(jobOf())
  await end()
  expect(paths).toEqual(['/archives/team-hash.tar'])
})

test('a build that is cancelled while it waits for a place fails with the reason of the cancellation', async () => {
  build = async ({ whileWaiting }) => {
    await whileWaiting!(async () => {})
    return RESULT
  }
  const waiting = new BuildRuns({
    build: (work) => build(work),
    archives: new FolderArchives('/archives'),
    emit: (event) => void events.push(event),
  })
  waiting.start(jobOf())
  await expect.poll(types).toEqual(['buildWaiting', 'buildReady'])
  waiting.cancel('b1', { errorName: 'conflict', message: 'the template was deleted' })
  await end()
  expect(events.at(-1)).toMatchObject({ outcome: { error: { errorName: 'conflict' } } })
  expect(waiting.running()).toEqual([])
})

test('a failure is reported with its step, also while the build waits', async () => {
  build = ({ whileWaiting }) =>
    whileWaiting!(() => Promise.reject(new BuildFailure('finalize', 'it never was ready')))
  runs.start(jobOf())
  await end()
  expect(types()).toEqual(['buildWaiting', 'buildEnded'])
  expect(events.at(-1)).toMatchObject({ outcome: { error: { errorName: 'build_failed', step: 'finalize' } } })
})

test.each(['../x', '/etc/passwd', '.', '..', 'a/b', '', '...', 'a\0b'])(
  'an archive cannot be named %j',
  async (key) => {
    const archives = new FolderArchives('/archives')
    await expect(archives.use(key, async () => {})).rejects.toMatchObject({ errorName: 'invalid_request' })
  },
)
