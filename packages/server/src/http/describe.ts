import { pino } from 'pino'
import { type AppOptions, createApp } from '../create-app.ts'
import type { OpenApiDocument } from './openapi.ts'

/** Returns the OpenAPI document of this version. The services are stubs, as no route is called. */
export async function describeApi(): Promise<OpenApiDocument> {
  const options = { deriveKey: () => Buffer.alloc(32), now: Date.now } as unknown as AppOptions
  const app = await createApp(options, pino({ level: 'silent' }))
  const document = app.swagger() as unknown as OpenApiDocument
  await app.close()
  return document
}
