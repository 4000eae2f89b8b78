/** What a token of a workload identity is; more kinds may come. */
export type SandboxIamTokenType = 'JWT-SVID' | (string & {})

/** A token that a sandbox gets to show who it is. */
export interface SandboxIamToken {
  /** Who is to accept it, for example `sts.amazonaws.com`. */
  audience: string
  tokenType: SandboxIamTokenType
}
