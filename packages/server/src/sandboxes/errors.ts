import { SandlotError } from '@sandlot/protocol'

export const notFound = (sandboxId: string): SandlotError =>
  new SandlotError(
    'not_found',
    `Sandbox "${sandboxId.slice(0, 100)}" doesn't exist or you don't have access to it`,
  )

/** @param nodeId home that the sandbox is on, in a database that several homes share */
export const onOtherHome = (sandboxId: string, nodeId: string): SandlotError =>
  new SandlotError(
    'conflict',
    `Sandbox "${sandboxId}" is on '${nodeId || 'another home'}', whose server is not the active one: the sandbox can be used again when that server is active`,
  )

/** @param to name of the machine that runs the sandbox now */
export const movedTo = (sandboxId: string, to: string): SandlotError =>
  new SandlotError('conflict', `Sandbox "${sandboxId}" was taken over by '${to}' and continues there`)
