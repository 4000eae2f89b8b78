import { mkdir } from 'node:fs/promises'
import { join as joinPath } from 'node:path'
import { CLOSED, type Joined, type KnownMachine, type KnownState } from '@sandlot/protocol/node'
import type { NodeParts } from './assemble.ts'
import { buildIdOf, ensureBuild, removeStaleBuilds } from './builder/base-build.ts'
import { SPEC_VERSION } from './engine/oci-spec.ts'
import { nodeCapacity } from './machines/capacity.ts'
import { type LiveMachine, ownerOf } from './machines/machine.ts'
import { isMarked } from './machines/machine-folder.ts'
import { STOCK_OF_BASE } from './pool/machine-starts.ts'
import type { Session } from './session.ts'
import type { Upkeep } from './upkeep.ts'

/**
 * Reconciles the rows of a control plane with this machine (docs/adr/0031). The first join takes over machines of a
 * former server. Later joins of the same server process leave alone everything for which that process may still be
 * writing rows. No join deletes a checkpoint or a machine only because it is not listed (docs/adr/0023).
 */
export class NodeJoin {
  readonly #parts: NodeParts
  readonly #session: Session
  readonly #upkeep: Upkeep
  #isStarted = false
  /** The last join, which the next one waits for. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: NodeParts, session: Session, upkeep: Upkeep) {
    this.#parts = parts
    this.#session = session
    this.#upkeep = upkeep
  }

  join(known: KnownState): Promise<Joined> {
    const joining = this.#last.then(() => this.#join(known))
    this.#last = joining.catch(() => {})
    return joining
  }

  async #join(known: KnownState): Promise<Joined> {
    if (this.#isStarted) await this.#joinAgain(known)
    else await this.#joinFirst(known)
    const { machines, builds, options, buildRuns } = this.#parts
    const alive = known.inUse.flatMap(({ machineId }) => machines.status(machineId) ?? [])
    return {
      alive,
      capacity: nodeCapacity(options.home, options.resources),
      builds: [...builds.values()].map(toBuildInfo),
      runningBuilds: buildRuns.running(),
    }
  }

  async #joinFirst(known: KnownState): Promise<void> {
    const { machines, diffs, tiers, layers, booted, images, guard, pool, startable, onError } = this.#parts
    this.#session.begin(known.sessionId)
    await machines.prepareFolders()
    await diffs.prepare()
    const warm = await this.#recoverMachines(known)
    const held = this.#holdFrozen(known)
    for (const one of known.inUse) this.#alignVolumes(one)
    await this.#markUnlistedCheckpoints(known)
    await this.#secureNetwork()
    const baseId = await this.#makeBase()
    await layers.prepare()
    await booted.prepare()
    await images.prepare()
    for (const build of known.builds) startable.add(build)
    await tiers.recover(held)
    const inUse = new Set(known.inUse.map(({ machineId }) => machineId))
    for (const machine of machines.all())
      if (machine.isFrozen && inUse.has(machine.machineId)) guard.adopt(machine)
    await guard.look()
    pool.open(baseId, warm)
    void startable.prepareTemplates(onError)
    this.#upkeep.start()
    this.#isStarted = true
  }

  /** @returns warm machines of the base template */
  async #recoverMachines({ instanceId, inUse, frozen, ended }: KnownState): Promise<LiveMachine[]> {
    const { machines, unlisted } = this.#parts
    const { warm, unlisted: notListed } = await machines.recover({
      inUse: byId(inUse),
      frozen: byId(frozen),
      ended: new Set(ended),
      buildIds: new Set([buildIdOf(this.#baseRecipe())]),
    })
    for (const machine of warm) machine.network = STOCK_OF_BASE
    for (const { machineId } of [...inUse, ...frozen])
      if (machines.get(machineId)) this.#session.addMachine(machineId)
    for (const machineId of notListed) this.#session.addMachine(machineId, false)
    await unlisted.machines.find(notListed, () => false, instanceId)
    return warm
  }

  /** @returns checkpoints with a machine that is still frozen */
  #holdFrozen({ frozen }: KnownState): Set<string> {
    const { machines, persistence } = this.#parts
    const held = new Set<string>()
    for (const { machineId, checkpointId } of frozen) {
      const machine = machines.get(machineId)
      if (!machine) continue
      persistence.holdFrozen(machine, checkpointId)
      held.add(checkpointId)
    }
    return held
  }

  async #markUnlistedCheckpoints({ checkpoints, instanceId }: KnownState): Promise<void> {
    const { tiers, unlisted } = this.#parts
    const listed = new Set(checkpoints)
    const isListed = (id: string) => listed.has(id) || this.#session.hasCheckpoint(id)
    await unlisted.checkpoints.find(await tiers.list(), isListed, instanceId)
  }

  async #secureNetwork(): Promise<void> {
    const { machines, slots, network, events, options } = this.#parts
    await network.firewall.install([...machines.all()])
    await network.watch({
      machines,
      slots,
      onStalled: ({ machineId }, reason) => events.emit({ type: 'stalled', machineId, reason }),
      onFault: (reason) =>
        options.logger.error({ reason }, 'the firewall is gone or was changed: machines are frozen'),
      onMended: () => options.logger.warn('the firewall is intact again: machines run again'),
    })
  }

  /** @returns id of the base build */
  async #makeBase(): Promise<string> {
    const { machines, builds, options } = this.#parts
    const buildsDir = joinPath(options.home, 'builds')
    await mkdir(buildsDir, { recursive: true, mode: 0o700 })
    const base = await ensureBuild(this.#baseRecipe(), buildsDir, machines)
    builds.set(base.buildId, base)
    await removeStaleBuilds(buildsDir, new Set(builds.keys()))
    return base.buildId
  }

  #baseRecipe() {
    const { options, envdKey, runDir, driver } = this.#parts
    return {
      name: 'base',
      imagePath: options.baseImage.path,
      keys: [options.baseImage.key, envdKey, options.guestDir, runDir, `spec ${SPEC_VERSION}`],
      engineVersion: driver.version,
      defaultUser: 'user',
      ...options.resources,
    }
  }

  async #joinAgain(known: KnownState): Promise<void> {
    const { startable } = this.#parts
    const isSameSession = known.sessionId === this.#session.id
    if (!isSameSession) {
      this.#session.begin(known.sessionId)
      // waits for running saves, whose outcome decides about checkpoints that rows already list
      await this.#session.settle()
    }
    for (const machineId of known.ended) await this.#end(machineId)
    for (const one of known.inUse) await this.#keepInUse(one, isSameSession)
    for (const one of known.frozen) await this.#keepFrozen(one, isSameSession)
    await this.#settleUnlistedMachines(known, isSameSession)
    await this.#markUnlistedCheckpoints(known)
    for (const build of known.builds) startable.add(build)
  }

  async #keepInUse(known: KnownMachine, isSameSession: boolean): Promise<void> {
    const { machines, frozenMachines, guard, unlisted } = this.#parts
    const { machineId } = known
    const machine = machines.get(machineId)
    if (!machine || machine.isEnding) return
    const wasUnlisted = unlisted.machines.has(machineId)
    // a frozen machine of the same session was just paused, which the rows may not show yet
    if (!isSameSession || wasUnlisted) {
      if (wasUnlisted) await this.#setPolicy(machine, known)
      // a resume had given the machine back, and its process ended before the thaw
      const isUnthawed = machine.isFrozen && !machine.state.isStalled
      if (frozenMachines.claim(machineId) || wasUnlisted || isUnthawed) guard.adopt(machine)
      this.#session.addMachine(machineId)
      this.#alignVolumes(known)
    }
  }

  /** Mounts and unmounts what a crash of the server came before. In the background, as a guest may not answer. */
  #alignVolumes({ machineId, volumes: wanted }: KnownMachine): void {
    const { machines, volumes, onError } = this.#parts
    const machine = machines.get(machineId)
    if (!machine?.isRunning || !wanted) return
    volumes.align(machine, wanted, { skipsMissing: true }).catch(onError)
  }

  async #keepFrozen(known: KnownState['frozen'][number], isSameSession: boolean): Promise<void> {
    const { machineId, checkpointId } = known
    const { machines, frozenMachines, persistence, unlisted } = this.#parts
    const machine = machines.get(machineId)
    if (!machine || machine.isEnding) return
    const wasUnlisted = unlisted.machines.has(machineId)
    if (isSameSession && !wasUnlisted) return
    if (!machine.isFrozen) return this.#end(machineId)
    this.#session.addMachine(machineId)
    if (frozenMachines.has(machineId)) return
    await this.#setPolicy(machine, known)
    persistence.holdFrozen(machine, checkpointId)
  }

  /** A machine whose policy cannot be put in force here stays closed, so that the others can be joined. */
  async #setPolicy(machine: LiveMachine, known: KnownMachine): Promise<void> {
    const { machines, onError } = this.#parts
    const owner = ownerOf(known)
    await machines.setPolicy(machine, known.network, { owner }).catch((error) => {
      onError(error)
      return machines.setPolicy(machine, CLOSED, { owner })
    })
  }

  /** Freezes machines with a sandbox that no row lists, and ends those without a sandbox. */
  async #settleUnlistedMachines(known: KnownState, isSameSession: boolean): Promise<void> {
    const { machines, frozenMachines, unlisted } = this.#parts
    const listed = new Set([...known.inUse, ...known.frozen].map(({ machineId }) => machineId))
    const notListed: string[] = []
    for (const machineId of this.#session.machineIds()) {
      const machine = machines.get(machineId)
      if (!machine || machine.isEnding) this.#session.forgetMachine(machineId)
      else if (listed.has(machineId) || (isSameSession && this.#session.hasMachine(machineId))) continue
      // a paused machine has a checkpoint, and a machine that was never handed out contains no data
      else if (frozenMachines.has(machineId) || !(await isMarked(machine.dir, 'used')))
        await this.#end(machineId)
      else {
        await this.#freeze(machine)
        this.#session.addMachine(machineId, false)
        notListed.push(machineId)
      }
    }
    await unlisted.machines.find(notListed, () => false, known.instanceId)
  }

  /** Freezes a machine permanently, also one that a guard has stalled. */
  async #freeze(machine: LiveMachine): Promise<void> {
    const { machines, guard, network } = this.#parts
    await guard.release(machine, () => network.release(machine, () => machines.freeze(machine)))
  }

  async #end(machineId: string): Promise<void> {
    const { machines, frozenMachines } = this.#parts
    frozenMachines.claim(machineId)
    this.#session.forgetMachine(machineId)
    await machines.end(machineId)
  }
}

const byId = (known: readonly KnownMachine[]): Map<string, KnownMachine> =>
  new Map(known.map((one) => [one.machineId, one]))

/** Returns the public part of a build, without local paths. */
export const toBuildInfo = ({
  buildId,
  name,
  defaultUser,
  defaultWorkdir,
  cpuCount,
  memoryMB,
  diskSizeMB,
}: Joined['builds'][number]): Joined['builds'][number] => ({
  buildId,
  name,
  defaultUser,
  defaultWorkdir,
  cpuCount,
  memoryMB,
  diskSizeMB,
})
