import { run } from '../host/run.ts'
import { countersOf, rulesOf, slotElementsOf } from './firewall-rules.ts'
import { NftRefusal, NftSession } from './nft-session.ts'
import { type Elements, SLOT_SETS } from './policy-elements.ts'

/** Long enough for a thousand policies with a hundred ranges each. */
const NFT_TIMEOUT_MS = 60_000
const MAX_SHOWN_LENGTH = 80
/** Number of ids of processes that are remembered; the monitor reports their changes within moments. */
const MAX_OWN_PIDS = 16

const LIST_RULES = 'list ruleset inet'
const DELETION = 'delete '

/** What `examine` compares: the rules, and which slots may reach something. */
export interface TableContent {
  rules: string
  elements: Elements
}

/** Says in which line a listing differs first from the expected one, shortened. */
function firstDifference(expected: string, found: string): string {
  const [before, now] = [expected, found].map((text) => text.split('\n').map((line) => line.trim()))
  const at = now!.findIndex((line, index) => line !== before![index])
  const shown = (line: string | undefined) => `'${(line ?? '').slice(0, MAX_SHOWN_LENGTH)}'`
  return at < 0 ? 'its end is missing' : `${shown(now![at])} instead of ${shown(before![at])}`
}

/** Says what differs, as the subject of a sentence; undefined when nothing does. @param table for the sentence */
export function differenceOf(table: string, expected: TableContent, found: TableContent): string | undefined {
  if (found.rules !== expected.rules) return `${table} (${firstDifference(expected.rules, found.rules)}) was`
  const setIn = ({ elements }: TableContent, name: string) => elements.get(name) ?? new Set()
  const other = SLOT_SETS.find((name) => setIn(expected, name).symmetricDifference(setIn(found, name)).size)
  return other && `the set '${other}' of ${table} was`
}

/** Makes a command one that may have been carried out before: an element that is gone cannot be deleted. */
const repeatable = (command: string): string =>
  command.startsWith(DELETION) ? `add ${command.slice(DELETION.length)}\n${command}` : command

/** One nftables table of the family inet, changed through open nft sessions. */
export class NftTable {
  readonly #name: string
  readonly #onError: (error: unknown) => void
  readonly #session = new NftSession()
  /** Reads rules without the elements of sets, of which there can be very many. */
  readonly #terse = new NftSession({ isTerse: true })
  /** Processes beside the session that have changed the table, the newest last. */
  readonly #ownPids: number[] = []

  constructor(name: string, onError: (error: unknown) => void) {
    this.#name = name
    this.#onError = onError
  }

  /** Whether a process makes changes for this server. */
  isOwn(pid: number): boolean {
    return this.#session.isOwn(pid) || this.#ownPids.includes(pid)
  }

  /** Runs commands of one line each as one transaction, in the open session, else in a separate process. */
  async change(commands: readonly string[]): Promise<void> {
    await this.#command(commands.join('; '), commands.map(repeatable).join('\n'))
  }

  /** Replaces the whole table. @param input for `nft -f` */
  async replace(input: string): Promise<void> {
    await this.#process(input)
  }

  /** @throws Error when the table is gone */
  async content(): Promise<TableContent> {
    const rules = rulesOf(this.#name, await this.#rules())
    if (rules === undefined) throw new Error('No such table')
    const list = (set: string) => this.#command(`list set inet ${this.#name} ${set}`)
    const host = await list('host_networks')
    const elements: Elements = new Map()
    // one command for each, as nft reads only the set of one of several commands
    for (const name of SLOT_SETS) elements.set(name, slotElementsOf(await list(name)))
    return { rules: `${rules}\n${host}`, elements }
  }

  /** Packets that the elements of a set have counted since the table was replaced. */
  async counters(set: string): Promise<Map<string, number>> {
    return countersOf(await this.#command(`list set inet ${this.#name} ${set}`))
  }

  async remove(): Promise<void> {
    await this.#process(`table inet ${this.#name} {}\ndelete table inet ${this.#name}\n`)
  }

  dispose(): void {
    this.#session.close()
    this.#terse.close()
  }

  async #rules(): Promise<string> {
    try {
      return await this.#terse.run(LIST_RULES)
    } catch (error) {
      if (error instanceof NftRefusal) throw error
      this.#onError(error)
      return this.#process(`${LIST_RULES}\n`, ['-t'])
    }
  }

  /** @param again what a separate process does when the session has ended without an answer */
  async #command(commands: string, again = commands): Promise<string> {
    try {
      return await this.#session.run(commands)
    } catch (error) {
      if (error instanceof NftRefusal) throw error
      this.#onError(error)
      return this.#process(`${again}\n`)
    }
  }

  async #process(input: string, flags: readonly string[] = []): Promise<string> {
    const onPid = (pid: number) => {
      this.#ownPids.push(pid)
      if (this.#ownPids.length > MAX_OWN_PIDS) this.#ownPids.shift()
    }
    return (await run('nft', [...flags, '-f', '-'], { input, timeoutMs: NFT_TIMEOUT_MS, onPid })).stdout
  }
}
