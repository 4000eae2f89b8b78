export type { AcceptedConnection, CompiledPolicy, Decision, Dial, Target } from './connection.ts'
