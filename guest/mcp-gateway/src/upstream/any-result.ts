import type { Result, StandardSchemaV1 } from '@modelcontextprotocol/client'

/** Accepts any result, so that fields and content that the gateway does not know pass unchanged. */
export const anyResult: StandardSchemaV1<unknown, Result> = {
  '~standard': { version: 1, vendor: 'sandlot', validate: (value) => ({ value: value as Result }) },
}
