import { SandlotError } from '@sandlot/protocol'
import type { LiveMachine } from '../machines/machine.ts'

/** Something inside that gVisor cannot save. */
export interface SaveObstacle {
  /** Part of gVisor's error. */
  sign: string
  /** Route of envd that finds it. */
  route: string
  /** The obstacle, for an envd that cannot name it. */
  what: string
  /** What the user can do, as the end of the error's sentence. */
  remedy: string
}

const OBSTACLES: readonly SaveObstacle[] = [
  {
    // google/gvisor#11425
    sign: "invalidated dentries can't be saved",
    route: '/volumes/stale',
    what: 'a process holds a file of a volume',
    remedy: 'which another sandbox has deleted or replaced: close it first, or pause without the memory',
  },
  {
    sign: '/dev/net/tun does not support save/restore',
    route: '/tun',
    what: 'a process holds a tun device',
    remedy: 'and tun devices cannot be saved: end it first, or pause without the memory',
  },
  {
    sign: 'stack.BridgeFDBEntry does not implement SaverLoader',
    route: '/bridges',
    what: 'there is a bridge',
    remedy:
      'and bridges that have passed packets cannot be saved: remove its network and use that of the sandbox instead (`network_mode: host`), or pause without the memory',
  },
]

type AskedMachine = Pick<LiveMachine, 'volumes'> & { guest: Pick<LiveMachine['guest'], 'ask'> }

/** @returns what kept a machine from being saved; undefined: the error has another cause */
export const findObstacle = (error: unknown): SaveObstacle | undefined =>
  error instanceof Error ? OBSTACLES.find(({ sign }) => error.message.includes(sign)) : undefined

/**
 * Asks envd what is in the way.
 * @param kill also ends the processes, or removes the bridges
 * @returns text like `process 12 (python3) holds /mnt/data/x`, a line for each; empty: none was found
 */
export async function findHolders(
  { route }: SaveObstacle,
  { guest, volumes }: AskedMachine,
  { kill }: { kill: boolean },
): Promise<string> {
  const paths = volumes.list().map(({ path }) => path)
  // an older envd in a resumed sandbox may lack the route
  const { status, words } = await guest.ask(route, { paths, kill })
  return status === 200 ? words : ''
}

/** Says what keeps a machine from being saved. @param holders of `findHolders` */
export function obstacleError({ what, remedy }: SaveObstacle, holders: string, cause: unknown): SandlotError {
  const who = holders.split('\n').join('; ') || what
  return new SandlotError(
    'checkpoint_blocked',
    `this sandbox cannot be saved with its memory: ${who}, ${remedy}`,
    {
      cause,
    },
  )
}
