/** What the edge reads from the control plane: where a sandbox is and which callers may reach it. */
export interface DirectoryEntry {
  sandboxId: string
  /** `paused` also while a pause is in progress. */
  state: 'running' | 'paused'
  /** Whether a request to the paused sandbox resumes it. */
  wakesOnTraffic?: boolean
  /** IPv4 address of the sandbox's slot; changes with a resume. */
  address: string
  /** Token that envd checks itself. The edge needs it for signed URLs, and to decide whether a caller may wake the sandbox. */
  envdAccessToken?: string
  /** Set when public traffic is off: ports other than envd's then require the header `e2b-traffic-access-token`. */
  trafficAccessToken?: string
  /** Replaces the Host header on ports other than envd's; `${PORT}` is the port. */
  maskRequestHost?: string
  /** Ports whose servers speak TLS. */
  httpsPorts?: readonly number[]
}

/** Why all open streams of a sandbox ended. After a rollback the sandbox runs in an earlier state. */
export type GoneReason = 'ended' | 'paused' | 'rolled back'

export interface SandboxDirectory {
  /** Synchronous and from memory, as the edge calls this for every request. Undefined: the sandbox never existed or is gone. */
  find(sandboxId: string): DirectoryEntry | undefined
  /** All sandboxes that run or can be woken, for signed URLs without a sandbox id (wire spec 1.2). */
  reachable(): Iterable<DirectoryEntry>
  /**
   * Resumes a paused sandbox, once for all concurrent callers; `find` then returns the new address.
   * @throws SandlotError when the sandbox cannot be resumed now
   */
  wake(sandboxId: string): Promise<void>
  /** Calls the listener when a sandbox stops, so that the edge ends its streams. @returns a function that unsubscribes */
  onGone(listener: (sandboxId: string, reason: GoneReason) => void): () => void
}
