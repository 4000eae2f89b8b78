import { readFileSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathExists } from '../host/path-exists.ts'
import type { MachineRecord } from './machine.ts'

/**
 * Empty marker files for a server that starts after a crash: `prepared`, the kernel is still empty; `warm`, the machine
 * belongs to no sandbox; `used`, a sandbox runs in the machine and no checkpoint has its memory; `frozen`, no process
 * inside runs.
 */
export type MachineMark = 'prepared' | 'warm' | 'used' | 'frozen'

export const writeRecord = (dir: string, record: MachineRecord): Promise<void> =>
  writeFile(join(dir, 'machine.json'), JSON.stringify(record))

/** @returns the record and the pid of the machine's kernel @throws when a crash came before the kernel was started */
export async function readRecord(dir: string): Promise<{ record: MachineRecord; pid: number }> {
  const record = JSON.parse(await readFile(join(dir, 'machine.json'), 'utf8')) as MachineRecord
  return { record, pid: Number(readFileSync(join(dir, 'pid'), 'utf8')) }
}

export const mark = (dir: string, name: MachineMark): Promise<void> => writeFile(join(dir, name), '')
export const unmark = (dir: string, name: MachineMark): Promise<void> => rm(join(dir, name), { force: true })
export const isMarked = (dir: string, name: MachineMark): Promise<boolean> => pathExists(join(dir, name))
