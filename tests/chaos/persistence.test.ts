import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { startServer, type TestServer } from '../server.ts'
import { randomFrom } from './random.ts'
import { Proving, type Subject } from './subject.ts'
import { checkpointWriters, killNow, sentries } from './victims.ts'
import { askWitness } from './witness.ts'

const MOMENTS = process.env.CHAOS_FULL === '1' ? Number(process.env.CHAOS_ROUNDS) : 1
const SEED = Number(process.env.CHAOS_SEED ?? 20261124)
/** More than the server starts concurrently. */
const FORKS = 5
const HOT_SECONDS = 2
/** Covers most of the life of a runsc process. */
const MAX_WRITER_AGE_MS = 80

let server: TestServer
let proving: Proving

beforeAll(async () => {
  server = await startServer({
    name: 'persistence-killed',
    port: 13_214,
    networkRange: '10.214.0.0/16',
    // short enough that both frozen and cold sandboxes are resumed
    flags: ['--pool-min', '0', '--pool-max', '0', '--hot-pause-seconds', String(HOT_SECONDS)],
  })
  proving = new Proving(server)
}, 300_000)
afterAll(() => server?.purge(), 120_000)
afterEach(() => proving.killAll(), 60_000)

interface Operation {
  /** Work that is not part of the measured time. */
  prepare?: (subject: Subject) => Promise<unknown>
  run: (subject: Subject) => Promise<Response | undefined>
  /** The operation ends sandboxes, so a sandbox that is gone afterwards is no loss. */
  ends?: boolean
}

const random = randomFrom(SEED)
const post = ({ sandboxId }: Subject, what: string, body: unknown = {}) =>
  proving.call('POST', `/sandboxes/${sandboxId}/${what}`, body)
const isPaused = async ({ sandboxId }: Subject) =>
  (await proving.read<{ state: string }>(`/sandboxes/${sandboxId}`)).state === 'paused'

const operations: Record<string, Operation> = {
  pause: { run: (subject) => post(subject, 'pause') },
  resume: {
    async prepare(subject) {
      await post(subject, 'pause')
      if (random() < 0.5) await delay(HOT_SECONDS * 2_000)
    },
    run: (subject) => post(subject, 'connect', { timeout: 3_000 }),
  },
  snapshot: { run: (subject) => post(subject, 'snapshots') },
  fork: { run: (subject) => post(subject, 'fork', { count: FORKS, timeout: 600 }) },
  rollback: {
    async prepare(subject) {
      const response = await post(subject, 'checkpoints')
      subject.checkpointId = ((await response.json()) as { checkpointID: string }).checkpointID
      subject.savedCount = subject.account.count
      subject.account = await askWitness(proving.sandboxUrl, subject.sandboxId)
    },
    run: (subject) => post(subject, 'rollback', { checkpointID: subject.checkpointId }),
  },
  delete: { run: ({ sandboxId }) => proving.call('DELETE', `/sandboxes/${sandboxId}`), ends: true },
  'auto-pause': {
    async run(subject) {
      await post(subject, 'timeout', { timeout: 0 })
      for (let i = 0; i < 100 && !(await isPaused(subject)); i++) await delay(20)
      return undefined
    },
  },
}

/** Victims of the signal; each function waits for its moment and returns whether it hit anything. */
const victims: Record<string, (momentMs: number, isOver: () => boolean) => Promise<boolean>> = {
  async server(momentMs) {
    await delay(momentMs)
    await server.kill()
    return true
  },
  async 'the sentry'(momentMs) {
    await delay(momentMs)
    const pids = sentries(server.info().home)
    return killNow(pids[Math.floor(random() * pids.length)])
  },
  async 'the checkpoint writer'(momentMs, isOver) {
    let pid: number | undefined
    while (pid === undefined && !isOver()) {
      await delay(2)
      pid = checkpointWriters(server.info().home)[0]
    }
    await delay(random() * Math.min(momentMs, MAX_WRITER_AGE_MS))
    return killNow(pid)
  },
}

/**
 * Checks that every copy that an operation left behind is intact, or is recorded as ended.
 * @param mayMissOne the signal may have hit the kernel of a copy
 */
async function checkCopies(subject: Subject, mayMissOne: boolean): Promise<void> {
  const { sandboxId, account } = subject
  const others = (await proving.running()).filter(({ sandboxID }) => sandboxID !== sandboxId)
  let missing = 0
  for (const { sandboxID } of others) {
    const told = await proving.revive({ sandboxId: sandboxID, account })
    if (told) expect(told.memory).toBe(account.memory)
    else missing++
  }
  expect(missing).toBeLessThanOrEqual(mayMissOne ? 1 : 0)
  const snapshots = await proving.read<Array<{ snapshotID: string }>>(`/snapshots?sandboxID=${sandboxId}`)
  for (const { snapshotID: templateID } of snapshots) {
    const response = await proving.call('POST', '/v2/sandboxes', { templateID, timeout: 600 })
    expect(response.status).toBe(201)
    const { sandboxID } = (await response.json()) as { sandboxID: string }
    expect((await askWitness(proving.sandboxUrl, sandboxID)).memory).toBe(account.memory)
  }
}

for (const [what, operation] of Object.entries(operations)) {
  for (const [whom, kill] of Object.entries(victims)) {
    test(
      `${what}: kill -9 of ${whom} at ${MOMENTS} random moments loses nothing and leaks nothing`,
      async () => {
        const calm = await proving.begin(1)
        await operation.prepare?.(calm)
        const started = performance.now()
        const answered = await operation.run(calm)
        const usualMs = performance.now() - started
        expect(answered?.ok, what).not.toBe(false)
        // a fork reports each of its copies
        expect((await answered?.text()) ?? '').not.toMatch(/"error"/)
        await proving.killAll()
        for (let moment = 0; moment < MOMENTS; moment++) {
          const subject = await proving.begin(moment)
          await operation.prepare?.(subject)
          let isOver = false
          const [answer, hasHit] = await Promise.all([
            // the crash cut the request off, but the operation may have happened all the same
            operation
              .run(subject)
              .catch((error: unknown) => error)
              .finally(() => void (isOver = true)),
            kill(random() * usualMs * 1.2, () => isOver),
          ])
          if (whom === 'server') await server.start()
          const told = await proving.revive(subject)
          const { account, savedCount = account.count } = subject
          if (told) expect([account.count + 1, savedCount + 1]).toContain(told.count)
          else expect(operation.ends || (whom === 'the sentry' && hasHit), String(answer)).toBe(true)
          await checkCopies(subject, whom === 'the sentry' && hasHit)
          await proving.expectNoLeaks()
          await proving.killAll()
        }
        await proving.expectNoLeaks()
      },
      120_000 + MOMENTS * 30_000,
    )
  }
}
