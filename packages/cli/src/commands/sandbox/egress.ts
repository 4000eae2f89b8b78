import { Command, Option } from 'commander'
import { parseAge } from '../../options/age.ts'
import { type Format, longFormatOption } from '../../options/format.ts'
import { sandboxIdArgument } from '../../options/sandbox-id.ts'
import { parseWholeNumber } from '../../options/whole-number.ts'
import { type EgressRecord, EgressTable, hintFor } from '../../output/egress-table.ts'
import { note, print } from '../../output/out.ts'

const MAX_RECORDS = 1000
const DEFAULT_RECORDS = 100

export const egress = (): Command =>
  new Command('egress')
    .description('show where a sandbox connected to, and what its network rules said')
    .addArgument(sandboxIdArgument('show connections of sandbox specified by <sandboxID>'))
    .addOption(new Option('-f, --follow', 'keep showing connections until the sandbox is closed'))
    .addOption(new Option('--denied', 'only what was denied'))
    .addOption(new Option('--name <name>', 'only this destination; *.name for all names below it'))
    .addOption(new Option('--since <age>', 'everything of this time, eg. 10m').argParser(parseAge))
    .addOption(
      new Option('-l, --limit <limit>', `how many of the newest are shown, at most ${MAX_RECORDS}`)
        .default(DEFAULT_RECORDS)
        .argParser((text) => parseWholeNumber(text, { least: 1, most: MAX_RECORDS })),
    )
    .addOption(longFormatOption())
    .addHelpText(
      'after',
      `
Each line is a connection, an HTTP request or a DNS query: the verdict, the rule of the
sandbox that decided, and why it failed. Sandboxes with network rules are recorded;
all are when the server has the setting recordEgress.

Examples:
  e2b sandbox egress i0lf5glwo7abo25de80rz                    # the newest 100
  e2b sandbox egress i0lf5glwo7abo25de80rz --denied           # why does pip not work?
  e2b sandbox egress i0lf5glwo7abo25de80rz -f --name '*.pypi.org'
  e2b sandbox egress i0lf5glwo7abo25de80rz --since 1h --format json | jq -r .name | sort | uniq -c`,
    )
    .action(run)

interface Flags {
  follow?: boolean
  denied?: boolean
  name?: string
  /** In seconds. */
  since?: number
  limit: number
  format: Format
}

async function run(sandboxId: string, { follow, denied, name, since, limit, format }: Flags): Promise<void> {
  const { connect } = await import('../../account/connection.ts')
  const { apiOf, dataOf } = await import('../../account/api.ts')
  const { missing } = await import('../../account/missing.ts')
  const api = apiOf(await connect())
  const path = { sandboxID: sandboxId }
  const sinceTime = since === undefined ? undefined : new Date(Date.now() - since * 1000).toISOString()
  const verdict = denied ? ('denied' as const) : undefined
  const read = async (cursor?: string, waits = false) => {
    const query = {
      ...(cursor !== undefined && { cursor }),
      ...(sinceTime !== undefined && { since: sinceTime }),
      ...(verdict !== undefined && { verdict }),
      ...(name !== undefined && { name }),
      ...(waits && { follow: true }),
      limit: since === undefined && cursor === undefined ? limit : MAX_RECORDS,
    }
    const answer = await api.GET('/sandboxes/{sandboxID}/egress', { params: { path, query } })
    if (answer.response.status === 404) throw missing(sandboxId)
    return dataOf(answer)
  }
  const hasEnded = async (): Promise<boolean> =>
    (await api.GET('/sandboxes/{sandboxID}', { params: { path } })).response.status === 404

  const output = new Output(format)
  for (let page = await read(); ; ) {
    await output.show(page.records)
    if (page.hasMore) page = await read(page.nextCursor)
    else if (!follow) break
    else if (page.records.length === 0 && output.hasWaited && (await hasEnded())) break
    else {
      output.hasWaited = true
      page = await read(page.nextCursor, true)
    }
  }
  output.end(follow === true, denied === true || name !== undefined || since !== undefined)
}

/** Prints records: a table that grows for people, a JSON object on each line for programs. */
class Output {
  /** Whether a request has waited for records. */
  hasWaited = false
  readonly #format: Format
  readonly #table = new EgressTable()
  readonly #denied = new Set<string>()
  readonly #reasons = new Set<string>()
  #count = 0

  constructor(format: Format) {
    this.#format = format
  }

  async show(records: readonly EgressRecord[]): Promise<void> {
    this.#count += records.length
    for (const { verdict, name, address, reason } of records) {
      if (verdict === 'denied') this.#denied.add(name ?? address ?? '')
      if (reason !== undefined) this.#reasons.add(reason)
    }
    if (this.#format === 'json') for (const record of records) await print(JSON.stringify(record))
    else if (records.length > 0) await print(this.#table.format(records))
  }

  end(isFollowing: boolean, isFiltered: boolean): void {
    if (this.#format === 'json') return
    if (isFollowing) note('\nStopped. Sandbox is closed.')
    else if (this.#count === 0)
      note(
        isFiltered
          ? 'No such connections are recorded.'
          : 'No connections are recorded: the server records sandboxes with network rules, and all only with its setting recordEgress.',
      )
    const hint = hintFor([...this.#denied], [...this.#reasons])
    if (hint) note(hint)
  }
}
