/** What the edge may ask of the control plane: where a sandbox is and who may reach it. */
export interface DirectoryEntry {
  sandboxId: string
  /** `paused` also while it is being put away. */
  state: 'running' | 'paused'
  /** A request to it while it is paused resumes it. */
  wakesOnTraffic?: boolean
  /** IPv4 address of the sandbox's slot; changes with a resume. */
  address: string
  /** Bearer that envd checks itself; here for signed URLs, and for whom a paused sandbox may be woken. */
  envdAccessToken?: string
  /** Set when public traffic is off: ports other than envd's need header `e2b-traffic-access-token`. */
  trafficAccessToken?: string
  /** Replaces the Host header on ports other than envd's; `${PORT}` is the port. */
  maskRequestHost?: string
}

/** Why nothing that was open to a sandbox goes on. After a rollback it runs as it was earlier. */
export type GoneReason = 'ended' | 'paused' | 'rolled back'

export interface SandboxDirectory {
  /** Synchronous, from memory: it is asked for every request. Undefined: never existed or is gone. */
  find(sandboxId: string): DirectoryEntry | undefined
  /** All that run or can be woken, for signed URLs that carry no sandbox id (wire spec 1.2). */
  reachable(): Iterable<DirectoryEntry>
  /**
   * Resumes a paused sandbox, once for all who ask at the same time; then `find` says where it is.
   * @throws SandlotError when it cannot be resumed now
   */
  wake(sandboxId: string): Promise<void>
  /** Called once when what runs goes: the edge ends every stream to it. @returns a function that unsubscribes. */
  onGone(listener: (sandboxId: string, reason: GoneReason) => void): () => void
}
