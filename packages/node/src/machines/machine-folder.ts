import { readFileSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { BuildResources } from '@sandlot/protocol/node'
import { pathExists } from '../host/path-exists.ts'

/** `machine.json`: written before anything of the machine exists, so that a crash at any point leaves a trace. */
export interface MachineRecord {
  machineId: string
  buildId: string
  imagePath: string
  guestDir: string
  resources: BuildResources
  /** Index of its slot. */
  slot: number
}

/**
 * Empty files that tell a server that comes after a crash: `prepared`, nothing was restored into it yet; `warm`, it is
 * nobody's yet; `used`, a sandbox runs in it and nothing else holds its memory; `frozen`, nothing inside runs.
 */
export type MachineMark = 'prepared' | 'warm' | 'used' | 'frozen'

export const writeRecord = (dir: string, record: MachineRecord): Promise<void> =>
  writeFile(join(dir, 'machine.json'), JSON.stringify(record))

/** @returns also the pid of its kernel @throws when a crash came before there was one */
export async function readRecord(dir: string): Promise<{ record: MachineRecord; pid: number }> {
  const record = JSON.parse(await readFile(join(dir, 'machine.json'), 'utf8')) as MachineRecord
  return { record, pid: Number(readFileSync(join(dir, 'pid'), 'utf8')) }
}

export const mark = (dir: string, name: MachineMark): Promise<void> => writeFile(join(dir, name), '')
export const unmark = (dir: string, name: MachineMark): Promise<void> => rm(join(dir, name), { force: true })
export const isMarked = (dir: string, name: MachineMark): Promise<boolean> => pathExists(join(dir, name))
