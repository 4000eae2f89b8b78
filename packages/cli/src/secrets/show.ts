import type { SecretInfo } from 'e2b'
import type { Format } from '../options/format.ts'
import { print, printJson } from '../output/out.ts'
import { type Column, formatTable } from '../output/table.ts'
import { formatTime } from '../output/time.ts'

const COLUMNS: Column<SecretInfo>[] = [
  { title: 'NAME', value: (secret) => secret.name },
  { title: 'SECRET ID', value: (secret) => secret.secretId },
  { title: 'VERSION', value: (secret) => String(secret.version) },
  { title: 'CREATED AT', value: (secret) => formatTime(secret.createdAt) },
  { title: 'UPDATED AT', value: (secret) => formatTime(secret.updatedAt) },
  { title: 'METADATA', value: (secret) => JSON.stringify(secret.metadata) },
]

export const formatSecrets = (secrets: SecretInfo[]): string => formatTable(secrets, COLUMNS)

/** Prints what a command has done with one secret. */
export const printDone = (secret: SecretInfo, done: string, format: Format): Promise<void> =>
  format === 'json' ? printJson(secret) : print(`Secret ${secret.name} has been ${done}`)
