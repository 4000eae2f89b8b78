import { SandlotError } from '@sandlot/protocol'

export const noCheckpoint = (sandboxId: string, checkpointId: string): SandlotError =>
  new SandlotError(
    'checkpoint_not_found',
    `sandbox '${sandboxId}' has no checkpoint '${checkpointId.slice(0, 100)}'; its tree lists them`,
  )
