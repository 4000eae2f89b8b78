import { inject } from 'vitest'
import { waitForTemplateOf } from '../template-ready.ts'

/** Covers the builds of all templates that come before it in tests/file-order.ts, on a machine that has built nothing yet. */
export const BUILD_TIMEOUT_MS = 30 * 60_000

/** Waits until sandboxes of the suite's server can be started from a template. @throws when its build failed */
export const waitForTemplate = (name: string): Promise<void> =>
  waitForTemplateOf(inject('server').env, name, BUILD_TIMEOUT_MS)
