import type { ConnectionRecord } from '@sandlot/protocol/node'

/** Reasons that have a counter of their own; all further ones count as `other`. */
const MAX_REASONS = 40
const REASON = /^[a-z][a-z_]{0,39}$/

interface TeamCounters {
  /** By the labels of a counter. */
  connections: Map<string, number>
  droppedRecords: number
  packetsBeyondLimit: number
}

/** Counts connections of each team by verdict and reason, since the start of the server. */
export class EgressCounters {
  readonly #teams = new Map<string, TeamCounters>()
  readonly #reasons = new Set<string>()

  add(record: ConnectionRecord): void {
    const { connections } = this.#of(record.teamId)
    const labels = `verdict="${record.verdict}",reason="${this.#reasonOf(record)}"`
    connections.set(labels, (connections.get(labels) ?? 0) + 1)
  }

  /** Counts a record that was not kept. */
  drop(teamId: string): void {
    this.#of(teamId).droppedRecords++
  }

  /** Counts packets that were refused because their sandbox had too many connections. */
  addBeyondLimit(teamId: string, packets: number): void {
    this.#of(teamId).packetsBeyondLimit += packets
  }

  /** Text in the format of Prometheus. */
  describe(teamId: string): string {
    const { connections, droppedRecords, packetsBeyondLimit } = this.#of(teamId)
    return [
      '# HELP sandlot_egress_connections_total Connections, HTTP requests and DNS queries of sandboxes.',
      '# TYPE sandlot_egress_connections_total counter',
      ...[...connections].map(([labels, value]) => `sandlot_egress_connections_total{${labels}} ${value}`),
      '# HELP sandlot_egress_records_dropped_total Records that were not kept because there were too many.',
      '# TYPE sandlot_egress_records_dropped_total counter',
      `sandlot_egress_records_dropped_total ${droppedRecords}`,
      '# HELP sandlot_egress_connection_limit_refused_packets_total Packets that were refused because their sandbox had too many connections.',
      '# TYPE sandlot_egress_connection_limit_refused_packets_total counter',
      `sandlot_egress_connection_limit_refused_packets_total ${packetsBeyondLimit}`,
      '',
    ].join('\n')
  }

  #of(teamId: string): TeamCounters {
    let counters = this.#teams.get(teamId)
    if (!counters) {
      counters = { connections: new Map(), droppedRecords: 0, packetsBeyondLimit: 0 }
      this.#teams.set(teamId, counters)
    }
    return counters
  }

  #reasonOf({
    verdict,
    rule,
    reason = verdict === 'allowed' ? 'none' : nameOfRule(rule),
  }: ConnectionRecord): string {
    if (this.#reasons.has(reason)) return reason
    if (this.#reasons.size >= MAX_REASONS || !REASON.test(reason)) return 'other'
    this.#reasons.add(reason)
    return reason
  }
}

/** Rules that users write are one reason: their text is no label. */
const nameOfRule = (rule: string): string =>
  /^(allow|deny) /.test(rule) ? 'rule' : rule.toLowerCase().replaceAll(' ', '_')
