import {
  type Prompt,
  type Resource,
  type ResourceTemplateType,
  type Tool,
  UriTemplate,
} from '@modelcontextprotocol/client'
import type { ServerConnection } from '../upstream/server-connection.ts'
import { giveNames, type Named, prefixedName } from './names.ts'

/** Servers whose resources are asked for a URI that none of them listed. */
const MAX_ASKED = 8

/** What all servers together offer, under the names that clients see. Made anew when a server's offers change. */
export class Directory {
  readonly tools: Tool[]
  readonly prompts: Prompt[]
  readonly resources: Resource[]
  readonly templates: ResourceTemplateType[]
  readonly #servers: ServerConnection[]
  readonly #tools: Map<string, Named<ServerConnection, Tool>>
  readonly #prompts: Map<string, Named<ServerConnection, Prompt>>
  readonly #resources = new Map<string, ServerConnection>()
  readonly #templates: Array<{ server: ServerConnection; pattern: string }> = []

  constructor(servers: ServerConnection[]) {
    this.#servers = servers
    const tools = giveNames(servers.map((server) => ({ server, items: server.offers.tools })))
    const prompts = giveNames(servers.map((server) => ({ server, items: server.offers.prompts })))
    this.tools = tools.map(({ item, name }) => ({ ...item, name }))
    this.prompts = prompts.map(({ item, name }) => ({ ...item, name }))
    this.#tools = new Map(tools.map((named) => [named.name, named]))
    this.#prompts = new Map(prompts.map((named) => [named.name, named]))
    this.resources = []
    this.templates = []
    for (const server of servers) {
      for (const resource of server.offers.resources) {
        // of two servers with one URI, the first counts: a URI cannot be prefixed and still be what it names
        if (this.#resources.has(resource.uri)) continue
        this.#resources.set(resource.uri, server)
        this.resources.push(resource)
      }
      for (const template of server.offers.templates) {
        if (this.#templates.some(({ pattern }) => pattern === template.uriTemplate)) continue
        this.#templates.push({ server, pattern: template.uriTemplate })
        this.templates.push(template)
      }
    }
  }

  /** Returns the tool of this name, also of its prefixed name where that is not needed. */
  tool(name: string): Named<ServerConnection, Tool> | undefined {
    return this.#tools.get(name) ?? byPrefix(this.#tools, name)
  }

  prompt(name: string): Named<ServerConnection, Prompt> | undefined {
    return this.#prompts.get(name) ?? byPrefix(this.#prompts, name)
  }

  /** Returns the servers that may know a resource, the likeliest first. */
  serversOf(uri: string): ServerConnection[] {
    const listed = this.#resources.get(uri)
    if (listed) return [listed]
    const matching = this.#templates
      .filter(({ pattern }) => matches(pattern, uri))
      .map(({ server }) => server)
    const others = this.#servers.filter((server) => server.client?.getServerCapabilities()?.resources)
    return [...new Set([...matching, ...others])].slice(0, MAX_ASKED)
  }

  serverOfTemplate(pattern: string): ServerConnection | undefined {
    return this.#templates.find((template) => template.pattern === pattern)?.server
  }
}

function byPrefix<Item extends { name: string }>(
  named: Map<string, Named<ServerConnection, Item>>,
  name: string,
): Named<ServerConnection, Item> | undefined {
  if (!name.includes('__')) return undefined
  return [...named.values()].find(({ server, item }) => prefixedName(server.name, item.name) === name)
}

function matches(pattern: string, uri: string): boolean {
  try {
    return new UriTemplate(pattern).match(uri) !== null
  } catch {
    return false
  }
}
