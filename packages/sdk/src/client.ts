import type { ConnectionOpts } from './connection-config.ts'
import { Sandbox } from './sandbox/sandbox.ts'
import { Secret } from './secret/secret.ts'
import { callableTemplate } from './template/callable.ts'
import { type Template, TemplateBase } from './template/template.ts'
import { Volume } from './volume/volume.ts'

/** Options that can be bound to a client: all but `signal`, which applies to one call. */
export type E2BClientOpts = Omit<ConnectionOpts, 'signal'>

/**
 * The classes of the SDK bound to one set of connection options, for programs that talk to more than one server or
 * account. Options of a call override the options of the client, which override the environment.
 *
 * @example
 * ```ts
 * const client = new E2B({ apiKey: 'e2b_...', domain: 'sandlot.example' })
 * const sandbox = await client.Sandbox.create()
 * ```
 */
export class E2B {
  readonly Sandbox: typeof Sandbox
  readonly Volume: typeof Volume
  readonly Template: typeof Template
  readonly Secret: typeof Secret

  constructor(opts: E2BClientOpts = {}) {
    const boundOpts = { ...opts }
    this.Sandbox = named(
      'Sandbox',
      class extends Sandbox {
        protected static override readonly boundOpts = boundOpts
      },
    )
    this.Volume = named(
      'Volume',
      class extends Volume {
        protected static override readonly boundOpts = boundOpts
      },
    )
    this.Secret = named(
      'Secret',
      class extends Secret {
        protected static override readonly boundOpts = boundOpts
      },
    )
    this.Template = callableTemplate(
      named(
        'TemplateBase',
        class extends TemplateBase {
          protected static override readonly boundOpts = boundOpts
        },
      ),
    )
  }
}

/** Keeps the usual class name for stack traces and inspectors. */
function named<Class extends object>(name: string, bound: Class): Class {
  Object.defineProperty(bound, 'name', { value: name })
  return bound
}
