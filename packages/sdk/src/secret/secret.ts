import { openApi } from '../api/client.ts'
import { apiErrorOf } from '../api/error.ts'
import type { Schema } from '../api/schema.ts'
import { ClientFactory, ConnectionConfig, type ConnectionOpts } from '../connection-config.ts'
import { InvalidArgumentError, SecretError, SecretNotFoundError } from '../errors.ts'
import { Paginator } from '../paginator.ts'
import type { SandboxIamToken } from './iam-token.ts'

/** Information about a secret, without its value, which the API never returns. */
export interface SecretInfo {
  secretId: string
  /** Unique within the team, in lower case. */
  name: string
  /** Version of the value: 1 for the first value, and 1 more for each update. */
  version: number
  metadata: Record<string, string>
  createdAt: Date
  updatedAt: Date
}

export interface SecretCreateOpts extends ConnectionOpts {
  /** Your own labels: at most 32 keys with values of at most 1024 characters. */
  metadata?: Record<string, string>
}

export interface SecretUpdateOpts extends ConnectionOpts {
  /** Replaces all metadata; undefined leaves the metadata unchanged. */
  metadata?: Record<string, string>
}

export type SecretGetInfoOpts = ConnectionOpts
export type SecretExistsOpts = ConnectionOpts
export type SecretDestroyOpts = ConnectionOpts

export interface SecretListOpts extends Omit<ConnectionOpts, 'signal'> {
  /** Maximum number of secrets of a page, 1 to 100. @default 100 */
  limit?: number
  /** Where to start: `nextToken` of an earlier paginator. */
  nextToken?: string
}

/** The secrets of the team, page by page. See {@link Secret.list}. */
export class SecretPaginator extends Paginator<SecretInfo> {
  constructor({ limit, nextToken, ...opts }: SecretListOpts = {}) {
    super(opts, limit, nextToken)
  }

  async nextItems(opts?: ConnectionOpts): Promise<SecretInfo[]> {
    this.assertHasNext()
    const config = new ConnectionConfig({ ...this.opts, ...opts })
    const api = await openApi(config)
    const answer = await api.GET('/secrets', {
      params: { query: { limit: this.limit, nextToken: this.nextToken } },
      signal: config.getSignal(undefined, opts?.signal),
    })
    throwOnError(answer)
    this.updatePagination(answer.response)
    return answer.data!.map(infoOf)
  }
}

/**
 * Secret values for outgoing requests of sandboxes, which programs in the sandbox never see: a network rule sets a
 * header with the placeholder of a secret, and the placeholder is replaced by the value outside the sandbox.
 *
 * @example
 * ```ts
 * await Secret.create('openai', process.env.OPENAI_API_KEY)
 * const headers = { Authorization: `Bearer ${Secret.fill('openai')}` }
 * const sandbox = await Sandbox.create({ network: { rules: { 'api.openai.com': [{ transform: { headers } }] } } })
 * ```
 */
export class Secret extends ClientFactory {
  /**
   * Stores a new secret.
   *
   * @param name 1 to 128 letters, digits, `-` and `_`; kept in lower case; not beginning with `sec_`
   * @throws {@link SecretError} if the name is taken or not allowed
   */
  static async create(name: string, value: string, opts?: SecretCreateOpts): Promise<SecretInfo> {
    const config = new ConnectionConfig(this.resolveOpts(opts))
    const api = await openApi(config)
    const answer = await api.POST('/secrets', {
      body: { name, value, metadata: opts?.metadata },
      signal: config.getSignal(undefined, opts?.signal),
    })
    throwOnError(answer)
    return infoOf(answer.data!)
  }

  /**
   * Gives a secret a new value, as its next version.
   *
   * @param secret id or name
   * @throws {@link SecretNotFoundError} if the secret does not exist
   */
  static async update(secret: string, value: string, opts?: SecretUpdateOpts): Promise<SecretInfo> {
    const config = new ConnectionConfig(this.resolveOpts(opts))
    const api = await openApi(config)
    const answer = await api.POST('/secrets/{secretID}', {
      params: { path: { secretID: secret } },
      body: { value, metadata: opts?.metadata },
      signal: config.getSignal(undefined, opts?.signal),
    })
    throwIfMissing(answer, secret)
    throwOnError(answer)
    return infoOf(answer.data!)
  }

  /**
   * @param secret id or name
   * @throws {@link SecretNotFoundError} if the secret does not exist
   */
  static async getInfo(secret: string, opts?: SecretGetInfoOpts): Promise<SecretInfo> {
    const config = new ConnectionConfig(this.resolveOpts(opts))
    const api = await openApi(config)
    const answer = await api.GET('/secrets/{secretID}', {
      params: { path: { secretID: secret } },
      signal: config.getSignal(undefined, opts?.signal),
    })
    throwIfMissing(answer, secret)
    throwOnError(answer)
    return infoOf(answer.data!)
  }

  /**
   * Lists the secrets of the team page by page.
   *
   * @example
   * ```ts
   * const paginator = Secret.list({ limit: 20 })
   * while (paginator.hasNext) console.log(await paginator.nextItems())
   * ```
   */
  static list(opts?: SecretListOpts): SecretPaginator {
    return new SecretPaginator(this.resolveOpts(opts))
  }

  /** @param secret id or name */
  static async exists(secret: string, opts?: SecretExistsOpts): Promise<boolean> {
    try {
      await this.getInfo(secret, opts)
      return true
    } catch (error) {
      if (error instanceof SecretNotFoundError) return false
      throw error
    }
  }

  /**
   * Deletes a secret with all its versions.
   *
   * @param secret id or name
   * @returns false if the secret does not exist
   */
  static async destroy(secret: string, opts?: SecretDestroyOpts): Promise<boolean> {
    const config = new ConnectionConfig(this.resolveOpts(opts))
    const api = await openApi(config)
    const answer = await api.DELETE('/secrets/{secretID}', {
      params: { path: { secretID: secret } },
      signal: config.getSignal(undefined, opts?.signal),
    })
    if (answer.response.status === 404) return false
    throwOnError(answer)
    return true
  }

  /**
   * Returns the placeholder of a secret for the headers of a network rule. Sends no request, so a missing secret is
   * noticed
   * only when a sandbox's request needs the value.
   *
   * @throws {@link InvalidArgumentError} for an empty name or one with braces or control characters
   * @example
   * ```ts
   * Secret.fill('openai') // '${e2b.secrets.openai}'
   * ```
   */
  static fill(secret: string): string {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they would end a header
    if (typeof secret !== 'string' || secret === '' || /[{}\u0000-\u001f\u007f]/.test(secret))
      throw new InvalidArgumentError(
        `Secret name ${JSON.stringify(secret)} cannot be used: a name is not empty and has no braces or control characters.`,
      )
    return `\${e2b.secrets.${secret}}`
  }

  /**
   * Describes a token of the sandbox's workload identity, for `iam.tokens` of {@link Sandbox.create}.
   *
   * @example
   * ```ts
   * const aws = Secret.iamToken({ audience: 'sts.amazonaws.com', tokenType: 'JWT-SVID' })
   * const sandbox = await Sandbox.create({ iam: { tokens: { aws } } })
   * ```
   */
  static iamToken(token: SandboxIamToken): SandboxIamToken {
    return token
  }
}

const infoOf = (secret: Schema<'Secret'>): SecretInfo => ({
  secretId: secret.secretID,
  name: secret.name,
  version: secret.currentVersion,
  metadata: secret.metadata,
  createdAt: new Date(secret.createdAt),
  updatedAt: new Date(secret.updatedAt),
})

function throwIfMissing({ response }: { response: Response }, secret: string): void {
  if (response.status === 404) throw new SecretNotFoundError(`Secret ${secret} not found`)
}

function throwOnError(answer: { response: Response; error?: unknown }): void {
  const error = apiErrorOf(answer, SecretError)
  if (error) throw error
}
