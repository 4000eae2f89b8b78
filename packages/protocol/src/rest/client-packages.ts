import Type from 'typebox'
import type { Operation } from './operation.ts'

export const getClientPackage = {
  operationId: 'getClientPackage',
  tags: ['npm'],
  summary: 'Download the SDK or CLI that matches this server, as npm installs it',
  security: [],
  params: Type.Object({
    file: Type.String({ maxLength: 64, description: 'e2b.tgz, e2b-cli.tgz or sandlot-mcp.tgz' }),
  }),
  produces: ['application/gzip'],
  response: { 200: Type.Unsafe<unknown>({ type: 'string', format: 'binary' }), 304: Type.Null() },
  errors: ['not_found'],
} satisfies Operation
