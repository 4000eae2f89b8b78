import { readFileSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathExists } from '../host/path-exists.ts'
import type { MachineRecord } from './machine.ts'

/**
 * Empty files that a server finds after a crash: `prepared`, the kernel holds nothing yet; `warm`, the machine belongs
 * to no sandbox; `used`, a sandbox runs in it and nothing else holds its memory; `frozen`, no process inside runs.
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
