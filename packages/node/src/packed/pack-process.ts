import { SandlotError } from '@sandlot/protocol'
import { FolderStore } from '../objects/folder-store.ts'
import { type PackRequest, packFolder } from './pack-folder.ts'

/** The only argument of the process, as JSON. */
export interface PackProcessArgument extends PackRequest {
  storeDir: string
  /** Process of the server, which protects unfinished packs from sweeps; the packing process ends with it. */
  parentPid: number
}

/** The only line on standard error after a failure. */
export interface PackProcessFailure {
  errorName: SandlotError['errorName']
  message: string
}

const { storeDir, parentPid, ...request }: PackProcessArgument = JSON.parse(process.argv[2]!)

function checkWanted(): void {
  if (process.ppid !== parentPid)
    throw new SandlotError('server_draining', `packing of '${request.id}' ends: the server is gone`)
}

try {
  const result = await packFolder(await FolderStore.open(storeDir), request, { checkWanted })
  process.stdout.write(JSON.stringify(result))
} catch (error) {
  const failure: PackProcessFailure =
    error instanceof SandlotError
      ? { errorName: error.errorName, message: error.message }
      : { errorName: 'internal_server_error', message: (error as Error).stack ?? String(error) }
  process.stderr.write(JSON.stringify(failure))
  process.exitCode = 1
}
