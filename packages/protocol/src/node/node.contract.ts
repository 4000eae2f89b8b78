import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { newCheckpointId } from '../ids.ts'
import type { BuildJob, BuildStep } from './build.ts'
import type { Joined, KnownState, Machine, SandboxNode } from './contract.ts'
import type { EventSubscription, NodeEvent, NodeEventOf, NodeEventType, SentEvent } from './events.ts'
import { CLOSED, OPEN } from './network.ts'
import type { VolumeMount } from './volumes.ts'

/** A node to run the suite on, with test-only calls that the contract does not have. */
export interface NodeUnderContract {
  node: SandboxNode
  /** Ids of two volumes that the node can mount, and of one that does not exist. */
  volumes: { existing: [string, string]; missing: string }
  /** Kills the kernel of a machine. */
  killMachine(machineId: string): Promise<void>
  /** Ids that the last join did not find in the rows. */
  unlisted(): Promise<string[]>
  /** Whether a machine is frozen. */
  isFrozen(machineId: string): Promise<boolean>
  close(): Promise<void>
}

const OWNER = 'team'
const SANDBOX_ID = 'isandbox'
const OWNED = { sandboxId: SANDBOX_ID, teamId: OWNER, network: OPEN }
const ARCHIVE_CHECK = { owner: OWNER, maxConcurrent: 1, maxEntries: 10, maxBytes: 1_000 }
const TIMEOUT_MS = 120_000
const RUN = (command: string): BuildStep => ({ type: 'RUN', command, force: false })

/**
 * Tests what every implementation of `SandboxNode` must do. When two implementations differ here, one of them has a bug.
 * @param open called once; the node is not joined yet
 */
export function nodeContract(name: string, open: () => Promise<NodeUnderContract>): void {
  describe(`${name} keeps the contract of a node:`, { timeout: TIMEOUT_MS }, () => {
    let under: NodeUnderContract
    let suite: ContractSuite
    beforeAll(async () => {
      under = await open()
      suite = new ContractSuite(under)
      await suite.join()
    }, 20 * 60_000)
    afterAll(() => under?.close(), TIMEOUT_MS)
    beforeEach(() => suite.subscribe())
    afterEach(() => suite.cleanUp(), TIMEOUT_MS)
    const current = () => suite

    machineTests(current)
    networkTests(current)
    volumeTests(current)
    checkpointTests(current)
    buildTests(current)
    eventTests(current)
    joinTests(current)
    refusalTests(current)
  })
}

/** One server process that uses the node. */
class ContractSuite {
  readonly under: NodeUnderContract
  readonly node: SandboxNode
  known: KnownState = {
    instanceId: randomUUID(),
    sessionId: randomUUID(),
    inUse: [],
    frozen: [],
    ended: [],
    checkpoints: [],
    builds: [],
  }
  joined!: Joined
  events: SentEvent[] = []
  #subscription: EventSubscription | undefined
  readonly #machineIds = new Set<string>()
  readonly #checkpointIds = new Set<string>()

  constructor(under: NodeUnderContract) {
    this.under = under
    this.node = under.node
  }

  /** Joins with the rows of the previous join, except for `changes`. */
  async join(changes: Partial<KnownState> = {}): Promise<Joined> {
    this.joined = await this.node.join({ ...this.known, ...changes })
    return this.joined
  }

  get baseId(): string {
    return this.joined.builds[0]!.buildId
  }

  subscribe(): void {
    this.events = []
    this.#subscription = this.node.subscribe(undefined, (sent) => {
      this.events.push(sent)
      if (sent.event.type === 'buildReady') void this.node.continueBuild(sent.event.buildId)
    })
  }

  disconnect(): void {
    this.#subscription?.close()
  }

  async acquire(volumes?: VolumeMount[]): Promise<Machine> {
    const machine = await this.node.acquire(this.baseId, {
      owner: OWNER,
      sandboxId: SANDBOX_ID,
      network: OPEN,
      volumes,
    })
    this.#machineIds.add(machine.machineId)
    return machine
  }

  /** Starts a machine as a sandbox would: acquired and initialised. */
  async start(volumes?: VolumeMount[]): Promise<Machine> {
    const machine = await this.acquire(volumes)
    await this.init(machine)
    return machine
  }

  init = ({ machineId }: Machine) =>
    this.node.init(machineId, {
      sandboxId: `i${machineId}`,
      templateId: 'base',
      accessToken: '',
      envVars: {},
      defaultUser: 'user',
    })

  newCheckpoint(): string {
    const id = newCheckpointId()
    this.#checkpointIds.add(id)
    return id
  }

  owns(machineId: string): string {
    this.#machineIds.add(machineId)
    return machineId
  }

  snapshot = async ({ machineId }: Machine) => {
    const checkpointId = this.newCheckpoint()
    return this.node.snapshot(machineId, checkpointId, { hasMemory: true, isTransient: false })
  }

  resume = async (
    checkpointId: string,
    options: { hasMemory?: boolean; machineId?: string; volumes?: VolumeMount[] } = {},
  ) => {
    const resumed = await this.node.resume(checkpointId, {
      owner: OWNER,
      sandboxId: SANDBOX_ID,
      network: OPEN,
      hasMemory: true,
      ...options,
    })
    this.owns(resumed.machineId)
    return resumed
  }

  job(steps: BuildStep[], more: Partial<BuildJob['recipe']> = {}): BuildJob {
    const { cpuCount, memoryMB, diskSizeMB, buildId } = this.joined.builds[0]!
    const environment = { defaultUser: 'user', envVars: {} }
    return {
      buildId: randomUUID(),
      checkpointId: this.newCheckpoint(),
      isBackground: false,
      recipe: {
        scope: OWNER,
        from: { buildId, name: 'base', environment },
        steps,
        isForced: true,
        cpuCount,
        memoryMB,
        diskSizeMB,
        ...more,
      },
    }
  }

  of<T extends NodeEventType>(type: T): Array<NodeEventOf<T>> {
    return this.events.map(({ event }) => event).filter((event) => event.type === type) as never
  }

  lines = (buildId: string) =>
    this.of('buildLog')
      .filter((event) => event.buildId === buildId)
      .map(({ line }) => line.message)

  /** Resolves with the first event that matches. */
  async event<T extends NodeEventType>(
    type: T,
    isWanted: (event: NodeEventOf<T>) => boolean,
  ): Promise<NodeEventOf<T>> {
    const find = () => this.of(type).find(isWanted)
    await expect.poll(find, { timeout: TIMEOUT_MS, interval: 20 }).toBeDefined()
    return find()!
  }

  ended = (buildId: string) => this.event('buildEnded', (event) => event.buildId === buildId)

  async acknowledgeAll(): Promise<void> {
    const last = this.events.findLast(({ isKept }) => isKept)
    if (last) await this.node.acknowledge(last)
  }

  async cleanUp(): Promise<void> {
    await this.join({ sessionId: randomUUID(), ended: [...this.#machineIds] })
    for (const machineId of this.#machineIds) await this.node.stop(machineId)
    for (const checkpointId of this.#checkpointIds) await this.node.removeCheckpoint(checkpointId)
    this.#machineIds.clear()
    this.#checkpointIds.clear()
    this.known = { ...this.known, sessionId: randomUUID() }
    await this.join()
    await this.acknowledgeAll()
    this.disconnect()
  }
}

type Current = () => ContractSuite

function machineTests(current: Current): void {
  test('a join reports the same builds and capacity as the separate calls', async () => {
    const { node, joined } = current()
    expect(joined.capacity).toEqual(await node.capacity())
    expect(joined.builds).toEqual(await node.builds())
    expect(joined.builds[0]).toMatchObject({ name: 'base', defaultUser: 'user' })
    expect(joined.runningBuilds).toEqual([])
  })

  test('a machine is acquired, initialised and stopped; a second stop resolves', async () => {
    const { node } = current()
    const machine = await current().acquire()
    const { machineId, address } = machine
    expect(machine.buildId).toBe(current().baseId)
    expect(await node.status(machineId)).toEqual({ machineId, address })
    await current().init(machine)
    expect(await node.isGuestHealthy(machineId)).toBe(true)
    await node.stop(machineId)
    await expect.poll(() => node.status(machineId)).toBeUndefined()
    await node.stop(machineId)
  })

  test('concurrent callers each get a machine of their own', async () => {
    const machines = await Promise.all([current().acquire(), current().acquire()])
    expect(new Set(machines.map(({ machineId }) => machineId)).size).toBe(2)
  })
}

function networkTests(current: Current): void {
  const policies = [
    CLOSED,
    OPEN,
    { ...OPEN, denyRanges: ['192.0.2.0/24', '0.0.0.0/0'], allowRanges: ['11.0.0.0/8'] },
  ]

  test.each(policies)('what a machine may reach is replaced while it runs: %j', async (network) => {
    const { node } = current()
    const { machineId } = await current().start()
    for (const closeExisting of [undefined, false, true])
      await node.setNetwork(machineId, network, { closeExisting })
    await node.setNetwork(machineId, network)
    expect(await node.isGuestHealthy(machineId)).toBe(true)
  })

  test('concurrent changes of what a machine may reach all resolve', async () => {
    const { node } = current()
    const { machineId } = await current().start()
    const changes = [...policies, ...policies].map((network) => node.setNetwork(machineId, network))
    await Promise.all(changes)
  })

  test('a paused machine has no network to change, until it is resumed', async () => {
    const { node } = current()
    const { machineId } = await current().start()
    const checkpointId = current().newCheckpoint()
    await node.pause(machineId, checkpointId, { hasMemory: true })
    await expect(node.setNetwork(machineId, CLOSED)).rejects.toMatchObject({ errorName: 'not_found' })
    await current().resume(checkpointId, { machineId })
    await node.thaw(machineId)
    await node.setNetwork(machineId, CLOSED)
  })
}

function volumeTests(current: Current): void {
  const [PATH, OTHER_PATH] = ['/mnt/data', '/srv/other data']
  const volumes = () => {
    const { existing, missing } = current().under.volumes
    const mount = (volumeId: string, path: string): VolumeMount => ({ volumeId, name: volumeId, path })
    return {
      first: mount(existing[0], PATH),
      second: mount(existing[1], PATH),
      missing: mount(missing, OTHER_PATH),
    }
  }

  test('a machine has the volumes that it was acquired with, until they are unmounted', async () => {
    const { node } = current()
    const { first } = volumes()
    const other = { ...first, path: OTHER_PATH, isReadOnly: true }
    const [{ machineId }, { machineId: sharing }] = [
      await current().start([first, other]),
      await current().start([first]),
    ]
    for (const path of [PATH, OTHER_PATH]) expect(await node.unmountVolume(machineId, path)).toBe(true)
    for (const path of [PATH, OTHER_PATH]) expect(await node.unmountVolume(machineId, path)).toBe(false)
    expect(await node.unmountVolume(sharing, PATH)).toBe(true)
  })

  test('a volume is mounted into a running machine, also twice, and no other one at its path', async () => {
    const { node } = current()
    const { first, second } = volumes()
    const { machineId } = await current().start()
    expect(await node.unmountVolume(machineId, PATH)).toBe(false)
    for (let i = 0; i < 2; i++) await node.mountVolume(machineId, first)
    await expect(node.mountVolume(machineId, second)).rejects.toMatchObject({ errorName: 'conflict' })
    expect(await node.unmountVolume(machineId, PATH)).toBe(true)
    await node.mountVolume(machineId, second)
    expect(await node.unmountVolume(machineId, PATH)).toBe(true)
  })

  test('a volume that does not exist is not mounted', async () => {
    const { node } = current()
    const { first, missing } = volumes()
    await expect(current().acquire([first, missing])).rejects.toMatchObject({ errorName: 'not_found' })
    const { machineId } = await current().start()
    await expect(node.mountVolume(machineId, missing)).rejects.toMatchObject({ errorName: 'not_found' })
    expect(await node.unmountVolume(machineId, OTHER_PATH)).toBe(false)
  })

  test('a resume mounts the volumes that it is given, and no others', async () => {
    const { node } = current()
    const { first, second, missing } = volumes()
    const { machineId } = await current().start([first])
    const checkpointId = current().newCheckpoint()
    await node.pause(machineId, checkpointId, { hasMemory: true })
    await expect(node.mountVolume(machineId, second)).rejects.toMatchObject({ errorName: 'not_found' })
    const hot = await current().resume(checkpointId, { machineId, volumes: [first, missing] })
    expect(hot.how).toBe('hot')
    await node.thaw(machineId)
    const files = current().newCheckpoint()
    await node.snapshot(machineId, files, { hasMemory: false, isTransient: false })
    expect(await node.unmountVolume(machineId, PATH)).toBe(true)
    await node.stop(machineId)
    for (const [saved, hasMemory] of [
      [checkpointId, true],
      [files, false],
    ] as const) {
      const other = { ...second, path: OTHER_PATH }
      const { machineId } = await current().resume(saved, { hasMemory, volumes: [other] })
      expect(await node.unmountVolume(machineId, PATH)).toBe(false)
      expect(await node.unmountVolume(machineId, OTHER_PATH)).toBe(true)
    }
  })
}

function checkpointTests(current: Current): void {
  test('a machine that is resumed soon after its pause is the same machine, which runs after thaw', async () => {
    const { node } = current()
    const { machineId } = await current().start()
    const checkpointId = current().newCheckpoint()
    const saved = await node.pause(machineId, checkpointId, { hasMemory: true })
    expect(saved).toMatchObject({ checkpointId, hasMemory: true })
    expect(await node.checkpoints()).toContain(checkpointId)
    expect(await node.describe(checkpointId)).toMatchObject({ checkpointId, resources: saved.resources })
    const resumed = await current().resume(checkpointId, { machineId })
    expect(resumed).toMatchObject({ machineId, how: 'hot' })
    await node.thaw(machineId)
    expect(await node.isGuestHealthy(machineId)).toBe(true)
    await node.removeCheckpoint(checkpointId)
    expect(await node.checkpoints()).not.toContain(checkpointId)
  })

  test('a checkpoint with memory is restored, or booted when the caller asks for no memory', async () => {
    const { node } = current()
    const { machineId } = await current().start()
    const checkpointId = current().newCheckpoint()
    await node.pause(machineId, checkpointId, { hasMemory: true })
    const booted = await current().resume(checkpointId, { machineId, hasMemory: false })
    expect(booted.how).toBe('booted')
    const restored = await current().resume(checkpointId)
    expect(restored.how).toBe('restored')
    expect(new Set([machineId, booted.machineId, restored.machineId]).size).toBe(3)
  })

  test('a machine keeps running after a snapshot; sandboxes start from the snapshot until its build is removed', async () => {
    const { node } = current()
    const machine = await current().start()
    const saved = await current().snapshot(machine)
    expect(saved.stoppedMs).toBeGreaterThanOrEqual(0)
    expect(await node.isGuestHealthy(machine.machineId)).toBe(true)
    const { checkpointId, resources } = saved
    const buildId = randomUUID()
    const build = { buildId, name: 'snapshot', defaultUser: 'user', ...resources }
    await node.addBuild({ ...build, checkpointId, sandboxId: 'i1' })
    const started = await node.acquire(buildId, { owner: OWNER, sandboxId: SANDBOX_ID, network: OPEN })
    current().owns(started.machineId)
    expect(started.buildId).toBe(buildId)
    await node.removeBuild(buildId)
    await expect(
      node.acquire(buildId, { owner: OWNER, sandboxId: SANDBOX_ID, network: OPEN }),
    ).rejects.toMatchObject({
      errorName: 'not_found',
    })
  })

  test('two checkpoints are compared, and a comparison can be cancelled', async () => {
    const { node } = current()
    const machine = await current().start()
    const [from, to] = [await current().snapshot(machine), await current().snapshot(machine)]
    expect(await node.diff(from.checkpointId, to.checkpointId, { owner: OWNER })).toEqual({
      added: expect.any(Array),
      changed: expect.any(Array),
      deleted: expect.any(Array),
    })
    const operationId = randomUUID()
    const diff = node.diff(to.checkpointId, from.checkpointId, { owner: OWNER, operationId })
    const [outcome] = await Promise.allSettled([diff, node.cancelDiff(operationId)])
    expect(outcome).toMatchObject({ status: 'rejected', reason: { errorName: 'request_timeout' } })
  })
}

function buildTests(current: Current): void {
  test('a build reports its log lines and its end, and sandboxes start from its result', async () => {
    const { node } = current()
    const steps: BuildStep[] = [
      { type: 'ENV', values: [['COLOUR', 'blue']], force: false },
      RUN('echo hello'),
    ]
    const job = current().job(steps)
    const { buildId, checkpointId } = job
    await node.startBuild(job)
    await node.startBuild(job)
    const { outcome } = await current().ended(buildId)
    expect(outcome).toMatchObject({
      result: { checkpoint: { checkpointId }, environment: { envVars: { COLOUR: 'blue' } } },
    })
    expect(current().lines(buildId)).toContain('hello')
    expect(current().of('buildEnded')).toHaveLength(1)
    const { cpuCount, memoryMB, diskSizeMB } = job.recipe
    const resources = { cpuCount, memoryMB, diskSizeMB }
    await node.addBuild({ buildId, name: 'built', defaultUser: 'user', checkpointId, ...resources })
    current().owns(
      (await node.acquire(buildId, { owner: OWNER, sandboxId: SANDBOX_ID, network: OPEN })).machineId,
    )
    const plan = await node.planRelease([checkpointId])
    await node.removeBuild(buildId)
    await node.removeCheckpoint(checkpointId)
    expect(await node.releaseTemplate(plan)).toMatchObject({ neededBy: expect.any(Number) })
  })

  test('a build with a failing step ends with that step and the error', async () => {
    const job = current().job([RUN('echo one'), RUN('exit 7')])
    await current().node.startBuild(job)
    const { outcome } = await current().ended(job.buildId)
    expect(outcome).toMatchObject({
      error: { errorName: 'build_failed', step: '2', message: expect.stringContaining('exit status 7') },
    })
    expect(await current().node.checkpoints()).not.toContain(job.checkpointId)
  })

  test('a cancelled build fails with the reason that the caller gave', async () => {
    const { node } = current()
    const job = current().job([RUN('sleep 100')])
    const { buildId } = job
    await node.startBuild(job)
    await current().event('buildLog', (event) => event.line.message.includes('sleep 100'))
    expect((await current().join()).runningBuilds).toEqual([buildId])
    await node.cancelBuild(buildId, { errorName: 'conflict', message: 'the template was deleted' })
    const { outcome } = await current().ended(buildId)
    expect(outcome).toMatchObject({ error: { errorName: 'conflict', message: 'the template was deleted' } })
    expect((await current().join()).runningBuilds).toEqual([])
  })

  test('a build that waits for its service reports this, and continues when it is told to', async () => {
    const job = current().job([RUN('echo one')], { startCommand: 'true', readyCommand: 'true' })
    const { buildId } = job
    await current().node.startBuild(job)
    expect((await current().ended(buildId)).outcome).toHaveProperty('result')
    const ofBuild = (event: NodeEvent) => 'buildId' in event && event.buildId === buildId
    const types = current()
      .events.map(({ event }) => event)
      .filter((event) => ofBuild(event) && event.type !== 'buildLog')
      .map(({ type }) => type)
    expect(types).toEqual(['buildWaiting', 'buildReady', 'buildEnded'])
  })
}

function eventTests(current: Current): void {
  test('an exit is sent until it is acknowledged, and never for a machine that was stopped', async () => {
    const { node, under } = current()
    const [stopped, killed] = [await current().start(), await current().start()]
    await node.stop(stopped.machineId)
    await under.killMachine(killed.machineId)
    const exit = await current().event('exit', ({ machineId }) => machineId === killed.machineId)
    expect(exit.reason).not.toBe('')
    expect(current().of('exit')).toHaveLength(1)
    await expect.poll(() => node.status(killed.machineId)).toBeUndefined()

    current().disconnect()
    current().subscribe()
    await current().event('exit', ({ machineId }) => machineId === killed.machineId)
    await current().acknowledgeAll()
    current().disconnect()
    current().subscribe()
    expect(current().of('exit')).toEqual([])
  })

  test('events that happen without a subscriber are sent to the next one, in order and numbered', async () => {
    const { under } = current()
    const machines = [await current().start(), await current().start()]
    const heard = current().events.length
    current().disconnect()
    for (const { machineId } of machines) await under.killMachine(machineId)
    await expect
      .poll(() => current().node.status(machines[1]!.machineId), { timeout: 10_000 })
      .toBeUndefined()
    expect(current().events).toHaveLength(heard)
    current().subscribe()
    await expect.poll(() => current().of('exit'), { timeout: 10_000 }).toHaveLength(2)
    const kept = current().events.filter(({ isKept }) => isKept)
    const [first] = kept
    expect(kept.map(({ sequence }) => sequence - first!.sequence)).toEqual(kept.map((_, index) => index))
    // events before a position are not sent again
    current().disconnect()
    const after: NodeEvent[] = []
    const subscription = current().node.subscribe(kept.at(-2), ({ isKept, event }) => {
      if (isKept) after.push(event)
    })
    await expect.poll(() => after).toEqual([kept.at(-1)!.event])
    subscription.close()
    current().subscribe()
  })
}

function joinTests(current: Current): void {
  const listed = ({ machineId }: Machine) => ({ machineId, ...OWNED })

  test('repeated and concurrent joins leave alone what was created for the process', async () => {
    const { node } = current()
    const [running, acquired] = [await current().start(), await current().acquire()]
    const checkpointId = current().newCheckpoint()
    const paused = await current().start()
    await node.pause(paused.machineId, checkpointId, { hasMemory: true })
    const saved = await current().snapshot(running)
    const inUse = [listed(running)]
    const joins = await Promise.all([current().join({ inUse }), current().join({ inUse })])
    for (const { alive } of joins)
      expect(alive).toEqual([{ machineId: running.machineId, address: running.address }])
    expect(await current().under.unlisted()).toEqual([])
    await current().init(acquired)
    expect(await node.isGuestHealthy(acquired.machineId)).toBe(true)
    expect(await current().resume(checkpointId, { machineId: paused.machineId })).toMatchObject({
      machineId: paused.machineId,
      how: 'hot',
    })
    expect(await node.checkpoints()).toEqual(expect.arrayContaining([checkpointId, saved.checkpointId]))
  })

  test('joins in the middle of every operation take nothing from it', async () => {
    const { node, under } = current()
    const source = await current().start()
    const { checkpointId } = await current().snapshot(source)
    const inUse = [listed(source)]
    /** Joins again and again until the operation has ended. */
    async function amidJoins<T>(operation: Promise<T>): Promise<T> {
      let isOver = false
      const ended = operation.finally(() => {
        isOver = true
      })
      ended.catch(() => {})
      do {
        await current().join({ inUse, checkpoints: [checkpointId] })
        await new Promise(setImmediate)
      } while (!isOver)
      return ended
    }
    const created = await amidJoins(current().start())
    const cold = await amidJoins(current().resume(checkpointId))
    await amidJoins(current().init(cold))
    const files = current().newCheckpoint()
    await amidJoins(node.snapshot(source.machineId, files, { hasMemory: false, isTransient: false }))
    const booted = await amidJoins(current().resume(files, { hasMemory: false }))
    const snapshot = await amidJoins(current().snapshot(source))
    const pausedAs = current().newCheckpoint()
    await amidJoins(node.pause(created.machineId, pausedAs, { hasMemory: true }))
    const hot = await amidJoins(current().resume(pausedAs, { machineId: created.machineId }))
    expect(hot).toMatchObject({ machineId: created.machineId, how: 'hot' })
    await amidJoins(node.thaw(hot.machineId))
    const job = current().job([RUN('echo hello')])
    await node.startBuild(job)
    const { outcome } = await amidJoins(current().ended(job.buildId))
    expect(outcome).toHaveProperty('result')
    for (const { machineId } of [source, created, cold, booted]) {
      expect(await node.status(machineId)).toBeDefined()
      expect(await under.isFrozen(machineId)).toBe(false)
    }
    expect(await node.checkpoints()).toEqual(
      expect.arrayContaining([checkpointId, files, snapshot.checkpointId, pausedAs, job.checkpointId]),
    )
    expect(await under.unlisted()).toEqual([])
  })

  test('a machine that was given back hot runs again when the next process lists it', async () => {
    const { node, under } = current()
    const { machineId } = await current().start()
    const checkpointId = current().newCheckpoint()
    await node.pause(machineId, checkpointId, { hasMemory: true })
    expect(await current().resume(checkpointId, { machineId })).toMatchObject({ how: 'hot' })
    expect(await under.isFrozen(machineId)).toBe(true)
    const inUse = [{ machineId, ...OWNED }]
    await current().join({ sessionId: randomUUID(), inUse, checkpoints: [checkpointId] })
    await expect.poll(() => under.isFrozen(machineId), { timeout: 10_000 }).toBe(false)
  })

  test('machines of another process are judged by the rows alone: unlisted ones without a sandbox end, listed ones keep running', async () => {
    const { node } = current()
    const [running, halfMade, ended] = [
      await current().start(),
      await current().acquire(),
      await current().start(),
    ]
    const { alive } = await current().join({
      sessionId: randomUUID(),
      inUse: [listed(running), { machineId: 'gone', ...OWNED }],
      ended: [ended.machineId],
    })
    expect(alive).toEqual([{ machineId: running.machineId, address: running.address }])
    for (const { machineId } of [halfMade, ended])
      await expect.poll(() => node.status(machineId)).toBeUndefined()
    expect(await node.isGuestHealthy(running.machineId)).toBe(true)
  })

  test.each(['an empty', 'an older', 'a foreign'])(
    '%s database deletes nothing: unlisted things are marked, and run again once they are listed',
    async (database) => {
      const { node } = current()
      const [running, older] = [await current().start(), await current().start()]
      const checkpointId = current().newCheckpoint()
      const paused = await current().start()
      await node.pause(paused.machineId, checkpointId, { hasMemory: true })
      const inUse = [running, older].map(listed)
      const frozen = [{ machineId: paused.machineId, checkpointId, ...OWNED }]
      await current().join({ inUse, frozen, checkpoints: [checkpointId] })
      expect(await current().under.unlisted()).toEqual([])

      const lists = database === 'an older' ? [listed(older)] : []
      const instanceId = database === 'an older' ? current().known.instanceId : randomUUID()
      for (let times = 0; times < 2; times++) {
        await current().join({ instanceId, sessionId: randomUUID(), inUse: lists })
        const unlisted = [checkpointId, running.machineId]
        if (database !== 'an older') unlisted.push(older.machineId)
        expect((await current().under.unlisted()).sort()).toEqual(unlisted.sort())
        expect(await node.checkpoints()).toContain(checkpointId)
        expect(await node.status(running.machineId)).toBeDefined()
      }

      const back = { sessionId: randomUUID(), inUse, checkpoints: [checkpointId] }
      const { alive } = await current().join(back)
      expect(alive.map(({ machineId }) => machineId).sort()).toEqual(
        [running, older].map(({ machineId }) => machineId).sort(),
      )
      expect(await current().under.unlisted()).toEqual([])
      for (const { machineId } of [running, older]) expect(await node.isGuestHealthy(machineId)).toBe(true)
      expect(await current().resume(checkpointId)).toMatchObject({ how: 'restored' })
    },
  )
}

function refusalTests(current: Current): void {
  const refused = (call: Promise<unknown>, errorName: string) =>
    expect(call).rejects.toMatchObject({
      name: 'SandlotError',
      errorName,
      message: expect.stringMatching(/./),
    })

  test('unknown ids are refused with an error that says so', async () => {
    const { node } = current()
    const none = newCheckpointId()
    const options = { owner: OWNER, sandboxId: SANDBOX_ID, network: OPEN }
    await refused(node.acquire(randomUUID(), options), 'not_found')
    await refused(node.pause('none', none, { hasMemory: true }), 'not_found')
    await refused(node.snapshot('none', none, { hasMemory: true, isTransient: false }), 'not_found')
    await refused(node.resume(none, { ...options, hasMemory: true }), 'not_found')
    await refused(node.thaw('none'), 'not_found')
    await refused(node.setNetwork('none', OPEN), 'not_found')
    const volume = { volumeId: current().under.volumes.existing[0], name: 'v', path: '/mnt/data' }
    await refused(node.mountVolume('none', volume), 'not_found')
    await refused(node.unmountVolume('none', '/mnt/data'), 'not_found')
    await refused(node.describe(none), 'not_found')
    await refused(node.diff(none, none), 'not_found')
    const build = { ...current().joined.builds[0]!, buildId: randomUUID(), checkpointId: none }
    await refused(node.addBuild(build), 'not_found')
    const init = { sandboxId: 'i1', templateId: 't', accessToken: '', envVars: {}, defaultUser: 'user' }
    await refused(node.init('none', init), 'sandbox_create_failed')
  })

  test('calls that have nothing to do for an unknown id resolve', async () => {
    const { node } = current()
    const none = newCheckpointId()
    await node.stop('none')
    await node.removeCheckpoint(none)
    await node.dropLocalCheckpoint(none)
    await node.removeBuild(randomUUID())
    await node.cancelBuild(randomUUID(), { message: 'the template was deleted' })
    await node.continueBuild(randomUUID())
    await node.cancelDiff(randomUUID())
    expect(await node.status('none')).toBeUndefined()
    expect(await node.exportBase(none)).toBeUndefined()
    expect(await node.isGuestHealthy('none')).toBe(true)
    expect(await node.planRelease([none])).toEqual({ layerKeys: [], imageKeys: [] })
    expect((await node.storageOf([none])).checkpoints).toEqual({})
  })

  test('no call takes a path', async () => {
    const { node } = current()
    for (const key of ['../../etc/passwd', '/etc/passwd', '..', 'a/b'])
      await refused(node.checkArchive(key, ARCHIVE_CHECK), 'invalid_request')
    for (const key of ['../base', '/base', '..'])
      await refused(node.releaseTemplate({ layerKeys: [], imageKeys: [key] }), 'invalid_request')
  })
}
