import * as official from 'e2b-official'
import { expect } from 'vitest'
import * as ours from '../../packages/sdk/src/index.ts'
import type { RecordedRequest, RecordingApi } from './recording-api.ts'

/** The SDK that a program is written for; ours must work as well. */
export type Sdk = typeof official

/** A program written for the official SDK. */
export type Program = (sdk: Sdk) => unknown

/** Outcome of a program: its result, or the class and message of its error. */
interface Run {
  requests: RecordedRequest[]
  outcome: unknown
}

/**
 * Runs one program with the official SDK and with ours, and expects the same requests, in any order, and the same
 * outcome.
 *
 * @returns the requests, so that a test can expect that there were some
 */
export async function expectSameWire(api: RecordingApi, program: Program): Promise<RecordedRequest[]> {
  const reference = await run(api, official, program)
  const own = await run(api, ours as unknown as Sdk, program)
  expect(own).toEqual(reference)
  return own.requests
}

/** Outcomes of both SDKs, for cases in which they are meant to differ. */
export async function runBoth(api: RecordingApi, program: Program): Promise<{ official: Run; ours: Run }> {
  return {
    official: await run(api, official, program),
    ours: await run(api, ours as unknown as Sdk, program),
  }
}

async function run(api: RecordingApi, sdk: Sdk, program: Program): Promise<Run> {
  api.requests.length = 0
  let outcome: unknown
  try {
    outcome = { result: plain(await program(sdk)) }
  } catch (error) {
    const { name, message, statusCode } = error as Error & { statusCode?: number }
    outcome = { error: name, message, statusCode }
  }
  const requests = api.requests.map((request) => ({ ...request })).sort(byText)
  return { requests, outcome }
}

const byText = (a: unknown, b: unknown): number => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1)

/** Reduces instances of classes to their data, so that two packages can be compared. */
const plain = (value: unknown): unknown =>
  value === undefined ? undefined : JSON.parse(JSON.stringify(value))
