import type { ConnectionOpts } from '../connection-config.ts'

/** Options of a single request about a command. */
export interface CommandRequestOpts extends Partial<Pick<ConnectionOpts, 'requestTimeoutMs' | 'signal'>> {}
