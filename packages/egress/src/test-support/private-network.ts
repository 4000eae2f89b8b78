import { execFileSync, spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import koffi from 'koffi'

const CLONE_NEWNET = 0x40000000
export const SANDBOX = '10.99.0.2'
export const DNS_ADDRESS = '169.254.53.53'
/** Bound to the loopback of the host's namespace: servers on them are "the internet". */
export const INTERNET = ['192.0.2.10', '192.0.2.11', '198.51.100.20', '203.0.113.30']

const libc = koffi.load(null)
const unshare = libc.func('int unshare(int flags)')
const setns = libc.func('int setns(int fd, int type)')

/**
 * Moves this thread into a network namespace of its own, with a veth to a second one, the sandbox's. Namespaces without
 * names belong to threads and open files, so they end with the test process, whatever happens.
 */
export class PrivateNetwork {
  readonly #before = currentNamespace()
  readonly #host: number
  readonly #sandbox: number

  constructor() {
    succeed(unshare(CLONE_NEWNET), 'unshare')
    this.#host = currentNamespace()
    succeed(unshare(CLONE_NEWNET), 'unshare')
    this.#sandbox = currentNamespace()
    this.#enter(this.#host)
    const other = `/proc/${process.pid}/fd/${this.#sandbox}`
    ip(`link set lo up`)
    ip(`address add ${DNS_ADDRESS}/32 dev lo`)
    for (const address of INTERNET) ip(`address add ${address}/32 dev lo`)
    ip(`link add sandbox0 type veth peer name eth0 netns ${other}`)
    ip(`address add 10.99.0.1/30 dev sandbox0`)
    ip(`link set sandbox0 up`)
    this.#enter(this.#sandbox)
    ip(`link set lo up`)
    ip(`address add ${SANDBOX}/30 dev eth0`)
    ip(`link set eth0 up`)
    ip(`route add default via 10.99.0.1`)
    this.#enter(this.#host)
  }

  /** Sends the sandbox's TCP to a listener, as the node does. */
  sendTcpTo(proxyPort: number): void {
    ip('rule add fwmark 1 lookup 100')
    ip('route add local 0.0.0.0/0 dev lo table 100')
    const rule = `iifname "sandbox0" meta l4proto tcp meta mark set 1 tproxy to 127.0.0.1:${proxyPort} accept`
    execFileSync('nft', ['-f', '-'], {
      input: `table ip egress { chain prerouting { type filter hook prerouting priority mangle; ${rule}; }; }`,
    })
  }

  /** Sends the sandbox's DNS to a resolver at `DNS_ADDRESS`, as the node does. */
  sendDnsTo(port: number): void {
    const fromSandbox = 'iifname "sandbox0" meta l4proto { tcp, udp } th dport 53'
    execFileSync('nft', ['-f', '-'], {
      input: `table ip egress_dns {
        chain before_proxy { type filter hook prerouting priority mangle - 1; ${fromSandbox} meta mark set 2; };
        chain prerouting { type nat hook prerouting priority dstnat; ${fromSandbox} dnat to ${DNS_ADDRESS}:${port}; };
      }
      insert rule ip egress prerouting meta mark 2 accept`,
    })
  }

  /** Drops what the host sends to an address, until `unsilence`. */
  silence(address: string): void {
    execFileSync('nft', ['-f', '-'], {
      input: `table ip silent { chain output { type filter hook output priority 0; ip daddr ${address} drop; }; }`,
    })
  }

  unsilence(): void {
    execFileSync('nft', ['delete', 'table', 'ip', 'silent'])
  }

  /** Starts to connect from the sandbox. */
  async connect(address: string, port: number, options: { allowHalfOpen?: boolean } = {}): Promise<Socket> {
    this.#enter(this.#sandbox)
    const socket = connect({ host: address, port, ...options })
    // Node makes the socket of an address in the next tick
    await Promise.resolve()
    await new Promise<void>((resolve) => process.nextTick(resolve))
    this.#enter(this.#host)
    return socket
  }

  /** Runs a command in the sandbox's namespace. */
  run(
    command: string[],
    { input = '', timeoutMs = 15_000 } = {},
  ): Promise<{ code: number | null; output: string }> {
    const net = `--net=/proc/${process.pid}/fd/${this.#sandbox}`
    const child = spawn('nsenter', [net, ...command], { timeout: timeoutMs })
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (output += chunk))
    child.stdin.on('error', () => {})
    child.stdin.end(input)
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })))
  }

  close(): void {
    this.#enter(this.#before)
    for (const fd of [this.#before, this.#host, this.#sandbox]) closeSync(fd)
  }

  #enter(fd: number): void {
    succeed(setns(fd, CLONE_NEWNET), 'setns')
  }
}

const currentNamespace = (): number => openSync('/proc/thread-self/ns/net', 'r')
const ip = (command: string) => execFileSync('ip', command.split(' '))

function succeed(result: number, call: string): void {
  if (result !== 0) throw new Error(`${call} failed with errno ${koffi.errno()}; it needs root`)
}
