/** What the edge may ask of the control plane: where a sandbox is and who may reach it. */
export interface DirectoryEntry {
  sandboxId: string
  state: 'starting' | 'running' | 'killing'
  /** IPv4 address of the sandbox's slot. */
  address: string
  /** Bearer that envd checks itself; here only for finding the sandbox of a signed URL. */
  envdAccessToken?: string
  /** Set when public traffic is off: ports other than envd's need header `e2b-traffic-access-token`. */
  trafficAccessToken?: string
  /** Replaces the Host header on ports other than envd's; `${PORT}` is the port. */
  maskRequestHost?: string
}

export interface SandboxDirectory {
  /** Synchronous, from memory: it is asked for every request. Undefined: never existed or is gone. */
  find(sandboxId: string): DirectoryEntry | undefined
  /** All that run, for signed URLs that carry no sandbox id (wire spec 1.2). */
  running(): Iterable<DirectoryEntry>
  /** Called once when the sandbox goes: the edge breaks every stream of it. @returns a function that unsubscribes. */
  onGone(listener: (sandboxId: string) => void): () => void
}
