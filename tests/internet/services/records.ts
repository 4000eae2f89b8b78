/** A request that a web server of the internet got. */
export interface RecordedRequest {
  /** Address and port that it came to. */
  address: string
  port: number
  isEncrypted: boolean
  /** SNI of the connection. */
  serverName?: string
  httpVersion: string
  method: string
  path: string
  /** Names and values as they were sent, by lower-case name; values of repeated headers are joined by `, `. */
  headers: Record<string, string>
  bodyBytes: number
}

export interface RecordedConnection {
  address: string
  port: number
}

export interface RecordedQuery {
  /** Lower-case. */
  name: string
  type: string
  transport: 'udp' | 'tcp'
  /** Address of the name server that was asked. */
  address: string
}

export interface RecordedDatagram extends RecordedConnection {
  text: string
}

const MAX_RECORDS = 20_000

/** Everything that reached the internet, in order. Old entries are forgotten when there are too many. */
export class Records {
  readonly requests: RecordedRequest[] = []
  readonly connections: RecordedConnection[] = []
  readonly queries: RecordedQuery[] = []
  readonly datagrams: RecordedDatagram[] = []
  /** Lines of the SOCKS5 servers' logs. */
  readonly socks: string[] = []

  add<K extends 'requests' | 'connections' | 'queries' | 'datagrams' | 'socks'>(
    kind: K,
    record: Records[K][number],
  ): void {
    const list: Array<Records[K][number]> = this[kind]
    if (list.length >= MAX_RECORDS) list.splice(0, MAX_RECORDS / 2)
    list.push(record)
  }
}
