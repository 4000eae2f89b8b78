import { readFileSync } from 'node:fs'
import { SandlotError } from '@sandlot/protocol'

/** Memory that one more warm machine uses, with a margin (bench/density). */
const WARM_MACHINE_MB = 40

/** @returns why no machine may be started now; undefined when one may be started */
export function memoryShortage(floorMB: number): SandlotError | undefined {
  const availableMB =
    Number(/^MemAvailable:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) / 1024
  if (availableMB - WARM_MACHINE_MB >= floorMB) return undefined
  return new SandlotError(
    'sandbox_capacity_unavailable',
    `this machine has ${Math.round(availableMB)} MB of memory left; the floor is ${floorMB} MB (setting 'poolMemoryFloorMB')`,
    { retryAfterSeconds: 10 },
  )
}
