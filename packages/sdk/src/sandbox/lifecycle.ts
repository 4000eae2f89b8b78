import type { Schema } from '../api/schema.ts'
import { InvalidArgumentError } from '../errors.ts'

/** What happens when the sandbox's time to live is over. */
export type SandboxOnTimeout =
  | 'pause'
  | 'kill'
  | {
      action: 'pause'
      /** false keeps the disk only; not together with `autoResume`. @default true */
      keepMemory?: boolean
    }
  | { action: 'kill' }

export type SandboxLifecycle = {
  /** @default 'kill' */
  onTimeout: SandboxOnTimeout
  /** Lets a request resume the paused sandbox; only with `onTimeout: 'pause'`. @default false */
  autoResume?: boolean
}

const ACTIONS = ['pause', 'kill']

type LifecycleFields = Pick<Schema<'NewSandboxV2'>, 'autoPause' | 'autoPauseMemory' | 'autoResume'>

/** The fields of the create request. @throws {@link InvalidArgumentError} for options that contradict each other */
export function lifecycleFields(lifecycle: SandboxLifecycle | undefined): LifecycleFields {
  const { onTimeout, autoResume } = (lifecycle ?? {}) as Partial<SandboxLifecycle>
  const action = typeof onTimeout === 'object' ? onTimeout.action : onTimeout
  const keepMemory = (onTimeout as { keepMemory?: boolean } | undefined)?.keepMemory
  if (onTimeout !== undefined && !ACTIONS.includes(String(action)))
    throw new InvalidArgumentError(
      `onTimeout must be one of: ${ACTIONS.join(', ')} (got ${JSON.stringify(action)}).`,
    )
  if (keepMemory !== undefined && action !== 'pause')
    throw new InvalidArgumentError("onTimeout.keepMemory is only allowed when action is 'pause'.")
  if (autoResume && action !== 'pause')
    throw new InvalidArgumentError("autoResume can only be true when onTimeout action is 'pause'.")
  if (autoResume && keepMemory === false)
    throw new InvalidArgumentError(
      'autoResume: true is not a valid value when keepMemory: false - a filesystem-only snapshot cannot be auto-resumed by traffic and must be resumed explicitly using Sandbox.connect().',
    )
  return {
    ...(action !== undefined && { autoPause: action === 'pause' }),
    ...(keepMemory !== undefined && { autoPauseMemory: keepMemory }),
    ...(autoResume !== undefined && { autoResume: { enabled: autoResume } }),
  }
}
