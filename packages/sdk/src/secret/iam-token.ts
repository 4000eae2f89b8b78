/** Type of a workload identity token; more types may follow. */
export type SandboxIamTokenType = 'JWT-SVID' | (string & {})

/** A token that proves the identity of a sandbox. */
export interface SandboxIamToken {
  /** Service that accepts the token, for example `sts.amazonaws.com`. */
  audience: string
  tokenType: SandboxIamTokenType
}
