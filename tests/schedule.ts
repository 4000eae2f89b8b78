export interface Stage {
  name: string
  /** Stages that must have ended before this one starts; names of stages that do not run are ignored. */
  needs: string[]
  /** Measures the machine, or breaks when network interfaces come and go: runs while nothing else does. */
  isAlone?: boolean
  /** Needs the processors and nothing else: runs at low priority, one such stage at a time. */
  isBackground?: boolean
}

/**
 * Runs stages in their order. A stage that needs another one waits for it while later stages go ahead; one that runs alone
 * waits for all that have started, and later stages wait for it.
 *
 * @param width how many run at a time; one of these places is for stages in the background, until none is left
 * @param run must not reject
 */
export async function runStages<T extends Stage>(
  stages: readonly T[],
  width: number,
  run: (stage: T) => Promise<void>,
): Promise<void> {
  const waiting = [...stages]
  const running = new Map<T, Promise<void>>()
  const isPending = (name: string) => [...waiting, ...running.keys()].some((stage) => stage.name === name)
  while (waiting.length > 0) {
    const next = nextStage(waiting, [...running.keys()], width, isPending)
    if (next) {
      waiting.splice(waiting.indexOf(next), 1)
      running.set(
        next,
        run(next).finally(() => running.delete(next)),
      )
    } else if (running.size > 0) await Promise.race(running.values())
    else throw new Error(`stages wait for each other: ${waiting.map(({ name }) => name).join(', ')}`)
  }
  await Promise.all(running.values())
}

function nextStage<T extends Stage>(
  waiting: readonly T[],
  running: readonly T[],
  width: number,
  isPending: (name: string) => boolean,
): T | undefined {
  if (running.some(({ isAlone }) => isAlone)) return undefined
  const inBackground = running.filter(({ isBackground }) => isBackground).length
  const isOneReserved = inBackground > 0 || waiting.some(({ isBackground }) => isBackground)
  const places = isOneReserved ? width - 1 : width
  for (const stage of waiting) {
    const isReady = !stage.needs.some(isPending)
    if (stage.isAlone) return isReady && running.length === 0 ? stage : undefined
    const hasPlace = stage.isBackground ? inBackground === 0 : running.length - inBackground < places
    if (isReady && hasPlace) return stage
  }
  return undefined
}
