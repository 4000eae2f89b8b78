export type {
  AcceptedConnection,
  CompiledPolicy,
  Decision,
  Dial,
  HttpContext,
  HttpGate,
  Interceptor,
  Target,
} from './connection.ts'
