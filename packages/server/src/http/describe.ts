import { pino } from 'pino'
import { type AppOptions, createApp } from '../create-app.ts'
import type { OpenApiDocument } from './openapi.ts'

/** The OpenAPI document of this version. Routes are registered on services that do not exist, and none is called. */
export async function describeApi(): Promise<OpenApiDocument> {
  const options = { deriveKey: () => Buffer.alloc(32), now: Date.now } as unknown as AppOptions
  const app = await createApp(options, pino({ level: 'silent' }))
  const document = app.swagger() as unknown as OpenApiDocument
  await app.close()
  return document
}
