import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import * as official from 'e2b-official'
import { afterAll, expect, test } from 'vitest'
import * as ours from '../../packages/sdk/src/index.ts'
import { type Difference, surfaceDifferences } from './surface.ts'

/** A folder inside the repository, so that the types of the dependencies are found. */
const directory = join(import.meta.dirname, '../../node_modules/.sdk-surface')

afterAll(() => rm(directory, { recursive: true, force: true }))

/** Values that only ours exports. */
const OWN_VALUES = ['CheckpointNotFoundError']

/**
 * Methods that only our Sandbox has, as instance and as class; the compiler checks this list against both packages. The
 * comparison leaves them out, as a type parameter that is bound by our class would not accept the official class.
 */
const OWN_METHODS = {
  checkpoint: true,
  rollback: true,
  tree: true,
  diff: true,
  keep: true,
  egress: true,
  mountVolume: true,
  unmountVolume: true,
} satisfies Record<
  | Exclude<keyof ours.Sandbox, keyof official.Sandbox>
  | Exclude<keyof typeof ours.Sandbox, keyof typeof official.Sandbox>,
  true
>

/** Methods that only our Volume has. */
const OWN_VOLUME_METHODS = {
  snapshot: true,
  listDeleted: true,
  restore: true,
  resize: true,
  uploadedBytes: true,
} satisfies Record<
  | Exclude<keyof ours.Volume, keyof official.Volume | 'copied'>
  | Exclude<keyof typeof ours.Volume, keyof typeof official.Volume>,
  true
>

/** Ours, for our CLI. */
const OWN_COMMAND_METHODS = { streamStdin: true } satisfies Record<
  Exclude<keyof ours.CommandHandle, keyof official.CommandHandle>,
  true
>

const NARROWER: Difference[] = ['cannot be used as the official one']
const WIDER: Difference[] = ['does not take what the official one takes']
const BOTH: Difference[] = ['cannot be used as the official one', 'does not take what the official one takes']
const ALL: Difference[] = [...BOTH, 'does not know all its options']

/** All differences, each with its reason. */
const ACCEPTED: Record<string, Difference[]> = {
  // Callbacks may return anything (`(data) => process.stdout.write(data)` of the documentation).
  CommandStartOpts: NARROWER,
  'CommandStartOpts#onStdout': NARROWER,
  'CommandStartOpts#onStderr': NARROWER,
  CommandConnectOpts: NARROWER,
  // The documentation starts browserbase without a Gemini key.
  McpServer: NARROWER,
  'McpServer#browserbase': NARROWER,
  SandboxOpts: NARROWER,
  'SandboxOpts#mcp': NARROWER,
  // A mount can be read-only.
  'SandboxOpts#volumeMounts': NARROWER,
  // Branded with a symbol of each package's own. As strings and bytes they are the same.
  Stdout: ALL,
  Stderr: ALL,
  PtyOutput: ALL,
  // The types of the REST API are generated from Sandlot's own document, which has the additions of Sandlot
  // (checkpoints,
  // storage), accepts null for some fields of a create or update (allowPublicTraffic is shown as null, too), and names error answers, but no parameters or headers.
  'ApiClient#api': BOTH,
  components: BOTH,
  'components#schemas': BOTH,
  'components#responses': WIDER,
  'components#parameters': [...WIDER, 'does not know all its options'],
  'components#headers': [...WIDER, 'does not know all its options'],
  paths: BOTH,
  'paths#/sandboxes post body': NARROWER,
  'paths#/v2/sandboxes post body': NARROWER,
  'paths#/sandboxes/{sandboxID} get answer': NARROWER,
  'paths#/sandboxes/{sandboxID}/network put body': NARROWER,
  'paths#/teams get answer': WIDER,
  'paths#/templates get answer': WIDER,
  'paths#/v2/templates get answer': WIDER,
  'paths#/templates/{templateID} get answer': WIDER,
  'paths#/volumes get answer': WIDER,
  'paths#/volumes post answer': WIDER,
  'paths#/volumes/{volumeID} get answer': WIDER,
  // The answer is `{}`, which E2B's document leaves out.
  'paths#/templates/{templateID} patch answer': BOTH,
}

test('the exported values are the same, except our own additions', () => {
  expect(Object.keys(ours).sort()).toEqual([...Object.keys(official), ...OWN_VALUES].sort())
})

test('the types differ exactly where intended', { timeout: 120_000 }, async () => {
  const differences = await surfaceDifferences(directory, {
    sandbox: Object.keys(OWN_METHODS),
    volume: Object.keys(OWN_VOLUME_METHODS),
    commands: Object.keys(OWN_COMMAND_METHODS),
  })
  expect(Object.fromEntries(differences)).toEqual(ACCEPTED)
})
