import { toNumber } from '@sandlot/protocol/cidr'
import koffi from 'koffi'

// from linux/netlink.h, linux/netfilter/nfnetlink.h and linux/netfilter/nfnetlink_conntrack.h
const AF_NETLINK = 16
const NETLINK_NETFILTER = 12
const NLM_F_REQUEST = 1
const NLMSG_ERROR = 2
const NLA_F_NESTED = 0x8000
const HEADER_BYTES = 16
/** Subsystem `ctnetlink`, message `IPCTNL_MSG_CT_DELETE`. */
const DELETE_CONNECTION = (1 << 8) | 2
const CTA_TUPLE_ORIG = 1
const CTA_ID = 12
const [CTA_TUPLE_IP, CTA_TUPLE_PROTO] = [1, 2]
const [CTA_IP_V4_SRC, CTA_IP_V4_DST] = [1, 2]
const [CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT] = [1, 2, 3]
const AF_INET = 2
const TCP = 6

const SOCK_RAW_CLOEXEC = 3 | 0x80000
const MSG_DONTWAIT = 0x40
const ENOENT = 2

/** A TCP connection in the kernel's table, by what its sandbox sees. */
export interface TcpFlow {
  /** As `conntrack -o id` prints it. */
  id: number
  source: string
  address: string
  sourcePort: number
  port: number
}

/** Removes connections from the kernel's table, in this process: a program would be one for each batch. */
export class ConntrackSocket {
  readonly #calls = loadCalls()
  readonly #descriptor: number
  readonly #answer = Buffer.alloc(65_536)

  /** @throws Error when the kernel has no such sockets */
  constructor() {
    this.#descriptor = this.#calls.socket(AF_NETLINK, SOCK_RAW_CLOEXEC, NETLINK_NETFILTER)
    if (this.#descriptor < 0) throw failure('opening a socket', koffi.errno())
  }

  /**
   * Removes connections, some hundred of them at most; one that is gone already, or whose id is now that of another, is left out.
   * @throws Error when the kernel refuses
   */
  remove(flows: readonly TcpFlow[]): void {
    const messages = Buffer.concat(flows.map(deletionOf))
    if (this.#calls.send(this.#descriptor, messages, messages.length, 0) < 0)
      throw failure('removing connections', koffi.errno())
    this.#readErrors()
  }

  close(): void {
    this.#calls.close(this.#descriptor)
  }

  /** The kernel has answered when `send` returns: one message for each connection that it could not remove. */
  #readErrors(): void {
    for (;;) {
      const length = this.#calls.recv(this.#descriptor, this.#answer, this.#answer.length, MSG_DONTWAIT)
      if (length < HEADER_BYTES + 4) return
      const errno = -this.#answer.readInt32LE(HEADER_BYTES)
      if (this.#answer.readUInt16LE(4) === NLMSG_ERROR && errno !== 0 && errno !== ENOENT)
        throw failure('removing a connection', errno)
    }
  }
}

const failure = (what: string, errno: number) =>
  new Error(`${what} of the kernel's table failed with error number ${errno}; needs CAP_NET_ADMIN`)

interface Calls {
  socket: (family: number, type: number, protocol: number) => number
  send: (descriptor: number, data: Buffer, length: number, flags: number) => number
  recv: (descriptor: number, data: Buffer, length: number, flags: number) => number
  close: (descriptor: number) => number
}

let calls: Calls | undefined
function loadCalls(): Calls {
  if (calls) return calls
  const library = koffi.load(null)
  calls = {
    socket: library.func('int socket(int family, int type, int protocol)'),
    send: library.func('intptr_t send(int fd, const uint8_t *data, size_t length, int flags)'),
    recv: library.func('intptr_t recv(int fd, _Out_ uint8_t *data, size_t length, int flags)'),
    close: library.func('int close(int fd)'),
  } as Calls
  return calls
}

function deletionOf({ id, source, address, sourcePort, port }: TcpFlow): Buffer {
  const addresses = [
    attribute(CTA_IP_V4_SRC, uint32(toNumber(source))),
    attribute(CTA_IP_V4_DST, uint32(toNumber(address))),
  ]
  const ports = [
    attribute(CTA_PROTO_NUM, Buffer.from([TCP])),
    attribute(CTA_PROTO_SRC_PORT, uint16(sourcePort)),
    attribute(CTA_PROTO_DST_PORT, uint16(port)),
  ]
  const body = Buffer.concat([
    Buffer.from([AF_INET, 0, 0, 0]),
    nested(CTA_TUPLE_ORIG, [nested(CTA_TUPLE_IP, addresses), nested(CTA_TUPLE_PROTO, ports)]),
    attribute(CTA_ID, uint32(id)),
  ])
  const header = Buffer.alloc(HEADER_BYTES)
  header.writeUInt32LE(HEADER_BYTES + body.length, 0)
  header.writeUInt16LE(DELETE_CONNECTION, 4)
  header.writeUInt16LE(NLM_F_REQUEST, 6)
  return Buffer.concat([header, body])
}

const nested = (type: number, parts: Buffer[]) => attribute(type | NLA_F_NESTED, Buffer.concat(parts))

/** An attribute begins at a multiple of four bytes; its length does not count what fills it up. */
function attribute(type: number, value: Buffer): Buffer {
  const whole = Buffer.alloc(4 + Math.ceil(value.length / 4) * 4)
  whole.writeUInt16LE(4 + value.length, 0)
  whole.writeUInt16LE(type, 2)
  value.copy(whole, 4)
  return whole
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value >>> 0)
  return bytes
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}
