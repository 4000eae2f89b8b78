import { newSecretId, SandlotError } from '@sandlot/protocol'
import { KeyedLock } from '../concurrency/keyed-lock.ts'
import { isAway } from '../store/transactions.ts'
import type { TeamLimits } from '../teams/limits.ts'
import type { Team } from '../teams/team.ts'
import type { Secret, SecretRepository } from './repository.ts'
import { checkedName, checkedValue, checkMetadata, referenceOf } from './request.ts'
import type { Vault } from './vault.ts'

export interface SecretServiceOptions {
  repository: SecretRepository
  vault: Vault
  limits: TeamLimits
  now: () => number
}

/** What a caller gives a secret. */
export interface SecretContent {
  value: string
  /** Default: none for a new secret; as before for an update. */
  metadata?: Record<string, string>
}

/** Values that requests of sandboxes carry in headers and that sandboxes never see. */
export class SecretService {
  readonly #options: SecretServiceOptions
  /** One change of a team at a time, so that few transactions conflict. */
  readonly #changes = new KeyedLock()

  constructor(options: SecretServiceOptions) {
    this.#options = options
  }

  list(teamId: string): Promise<Secret[]> {
    return this.#options.repository.list(teamId)
  }

  /** @param reference id or name @throws SandlotError not_found */
  async get(teamId: string, reference: string): Promise<Secret> {
    const found = await this.#options.repository.find(teamId, referenceOf(reference))
    if (!found) throw unknownSecret(reference)
    return found
  }

  /** @throws SandlotError invalid_request, conflict, secret_limit_reached, secrets_unavailable */
  async create(team: Team, askedName: string, { value, metadata = {} }: SecretContent): Promise<Secret> {
    const { repository, limits, now } = this.#options
    const name = checkedName(askedName)
    const bytes = checkedValue(value)
    checkMetadata(metadata)
    return this.#changes.run(team.teamId, async () => {
      const atMs = now()
      const secret = { id: newSecretId(), name, version: 1, metadata, createdAtMs: atMs, updatedAtMs: atMs }
      const sealed = await this.#seal(bytes, team.teamId, secret)
      const isNew = await repository.insert(team.teamId, { ...secret, sealed }, (count) =>
        limits.checkSecrets(team, count),
      )
      if (!isNew)
        throw new SandlotError(
          'conflict',
          `a secret named '${name}' exists already in this team: update it, or choose another name`,
        )
      return secret
    })
  }

  /** @param reference id or name @throws SandlotError invalid_request, not_found, secrets_unavailable */
  async update(teamId: string, reference: string, { value, metadata }: SecretContent): Promise<Secret> {
    const { repository, now } = this.#options
    const bytes = checkedValue(value)
    if (metadata) checkMetadata(metadata)
    return this.#changes.run(teamId, async () => {
      const found = await repository.find(teamId, referenceOf(reference))
      if (!found) throw unknownSecret(reference)
      const secret = {
        ...found,
        version: found.version + 1,
        metadata: metadata ?? found.metadata,
        updatedAtMs: now(),
      }
      const sealed = await this.#seal(bytes, teamId, secret)
      if (await repository.replace(teamId, { ...secret, sealed })) return secret
      throw new SandlotError('conflict', `secret '${reference}' was changed or deleted meanwhile: try again`)
    })
  }

  /** @param reference id or name @throws SandlotError not_found */
  async delete(teamId: string, reference: string): Promise<void> {
    await this.#changes.run(teamId, async () => {
      if (!(await this.#options.repository.delete(teamId, referenceOf(reference))))
        throw unknownSecret(reference)
    })
  }

  /**
   * Reads the value for a header, from the database each time: a new value is used by the next request.
   * @param name lower-case @returns undefined when there is no such secret @throws SandlotError secrets_unavailable
   */
  async valueOf(teamId: string, name: string): Promise<string | undefined> {
    const { repository, vault } = this.#options
    try {
      const found = await repository.find(teamId, { name })
      if (!found) return undefined
      const bytes = vault.open(found.sealed, contextOf(teamId, found))
      const value = bytes.toString()
      bytes.fill(0)
      return value
    } catch (error) {
      if (!isAway(error)) throw error
      throw new SandlotError('secrets_unavailable', 'secrets cannot be read: the database does not answer', {
        cause: error,
        retryAfterSeconds: 2,
      })
    }
  }

  async #seal(bytes: Buffer, teamId: string, secret: Pick<Secret, 'id' | 'version'>) {
    const sealed = await this.#options.vault.seal(bytes, contextOf(teamId, secret))
    bytes.fill(0)
    return sealed
  }
}

/** What a value is bound to: neither a row of another team or secret nor an older value can take its place. */
export const contextOf = (teamId: string, { id, version }: Pick<Secret, 'id' | 'version'>): string[] => [
  'secret',
  teamId,
  id,
  String(version),
]

const unknownSecret = (reference: string): SandlotError =>
  new SandlotError('not_found', `secret '${reference}' does not exist in this team`)
