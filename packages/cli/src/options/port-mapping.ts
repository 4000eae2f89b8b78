import { InvalidArgumentError } from 'commander'

export interface PortMapping {
  /** 0: any free port. */
  localPort: number
  remotePort: number
}

/** `8080` forwards 8080 to 8080, `8080:80` forwards the local port 8080 to port 80 of the sandbox, `0:80` uses any free local port. */
export function parsePortMapping(text: string, before: PortMapping[] = []): PortMapping[] {
  const [, local, remote = local] = /^(\d{1,5})(?::(\d{1,5}))?$/.exec(text) ?? []
  const mapping = { localPort: Number(local), remotePort: Number(remote) }
  if (
    local === undefined ||
    mapping.localPort > 65535 ||
    mapping.remotePort > 65535 ||
    mapping.remotePort < 1
  ) {
    throw new InvalidArgumentError(
      `'${text}' is not a port mapping. Write 8080, or 8080:80, with ports up to 65535.`,
    )
  }
  return [...before, mapping]
}
