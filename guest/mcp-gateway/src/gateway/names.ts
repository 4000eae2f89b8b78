/** Names of tools are limited to this by the protocol's recommendation. */
const MAX_NAME_CHARACTERS = 128

/** One thing that a server offers by name, and the name that clients see. */
export interface Named<Server, Item extends { name: string }> {
  server: Server
  item: Item
  /** The item's own name as long as no other server has it, else `<server>__<name>`. */
  name: string
}

/** Returns the part of a prefixed name that stands for a server: `github/owner/repo` becomes `owner_repo`. */
export const prefixOf = (server: string) => server.replace(/^github\//, '').replaceAll(/[^\w-]/g, '_')

export const prefixedName = (server: string, name: string) =>
  `${prefixOf(server)}__${name}`.slice(0, MAX_NAME_CHARACTERS)

/** Gives names to the items of all servers. Of two items of one server with one name, the first counts. */
export function giveNames<Server extends { name: string }, Item extends { name: string }>(
  offered: Array<{ server: Server; items: Item[] }>,
): Array<Named<Server, Item>> {
  const owners = new Map<string, Set<Server>>()
  for (const { server, items } of offered) {
    for (const { name } of items) owners.set(name, (owners.get(name) ?? new Set()).add(server))
  }
  const taken = new Set<string>()
  return offered.flatMap(({ server, items }) =>
    items.flatMap((item) => {
      const name = owners.get(item.name)!.size === 1 ? item.name : prefixedName(server.name, item.name)
      if (taken.has(name)) return []
      taken.add(name)
      return [{ server, item, name }]
    }),
  )
}
