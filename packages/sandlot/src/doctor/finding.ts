import type { Check as CheckOf } from '@sandlot/protocol/doctor'
import type { Config } from '../config.ts'

export type { Finding, Verdict } from '@sandlot/protocol/doctor'
export type Check = CheckOf<Config>
