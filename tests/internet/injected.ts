import { readFileSync } from 'node:fs'
import { inject } from 'vitest'
import { InternetControl } from './control.ts'

const info = inject('internet')
if (!info)
  throw new Error('this suite has no internet: add it to SUITES_WITH_INTERNET in tests/global-setup.ts')

/** The internet of the suite, which the sandboxes of its server reach. */
export const internet = new InternetControl(info)
/** PEM of its authority. */
export const trusted = readFileSync(info.caFile, 'utf8')

let count = 0
/** A path that no other request has, to find it among those that arrived. */
export const newPath = (): string => `/path-${process.pid}-${++count}`
