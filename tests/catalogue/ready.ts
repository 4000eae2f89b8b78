import { inject } from 'vitest'
import { waitForTemplateOf } from '../template-ready.ts'

/** On a machine that has built nothing yet, every earlier template of the suite (tests/file-order.ts) is built first. */
export const BUILD_TIMEOUT_MS = 30 * 60_000

/** Waits until sandboxes of the suite's server can be started from a template. @throws when its build failed */
export const waitForTemplate = (name: string): Promise<void> =>
  waitForTemplateOf(inject('server').env, name, BUILD_TIMEOUT_MS)
