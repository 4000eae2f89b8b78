import { InvalidArgumentError, Option } from 'commander'
import type { SandboxLifecycle } from 'e2b'
import { Failure } from '../failure.ts'

export const onTimeoutOption = (): Option =>
  new Option('--lifecycle.ontimeout <action>', 'what happens when the time is up: pause or kill').argParser(
    (text) => {
      if (text !== 'pause' && text !== 'kill')
        throw new InvalidArgumentError('--lifecycle.ontimeout must be "pause" or "kill"')
      return text
    },
  )

export const autoResumeOption = (): Option =>
  new Option(
    '--lifecycle.autoresume',
    'traffic wakes the paused sandbox, requires --lifecycle.ontimeout pause',
  )

export interface LifecycleFlags {
  'lifecycle.ontimeout'?: 'pause' | 'kill'
  'lifecycle.autoresume'?: boolean
}

export function lifecycleOf(flags: LifecycleFlags): SandboxLifecycle | undefined {
  const { 'lifecycle.ontimeout': onTimeout, 'lifecycle.autoresume': autoResume } = flags
  if (autoResume && onTimeout !== 'pause')
    throw new Failure('--lifecycle.autoresume requires --lifecycle.ontimeout pause')
  return onTimeout && { onTimeout, ...(autoResume && { autoResume }) }
}
