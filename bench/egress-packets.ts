// What network rules cost in the kernel: packets of established connections and new connections of one sandbox beside 1,
// 100 and 1,000 sandboxes with 100 rules each, and a change of rules. Makes its own network namespaces; needs root, python3
// and no server. See README.md.
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { namesFor } from '@sandlot/node/instance-names'
import { Firewall } from '@sandlot/node/network/firewall'
import type { Egress } from '@sandlot/protocol'
import { CLOSED, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import { report, round, summarize, timed } from './stats.ts'

const COUNTS = [1, 100, 1000]
const RULES = 100
const ROUNDS = 5
/** Measurements of packets in each round. */
const REPEATS = 5
const PACKETS = 5_000
/** Few, because the kernel counts the connections of a sandbox for each new one. */
const CONNECTIONS = 200
const CHANGES = 60
const TARGET = '11.0.0.1'
const GATEWAY = '10.200.0.1'
const GUEST = '10.200.0.2'

/** Sends datagrams, over one connection or over as many; prints microseconds for each. */
const SENDER = `
import socket, sys, time
target, packets, connections = sys.argv[1], ${PACKETS}, ${CONNECTIONS}
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect((target, 9000))
many = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
base = 10000
for line in sys.stdin:
    if line == 'established\\n':
        one.send(b'x'); one.recv(10)
        started = time.perf_counter()
        for _ in range(packets): one.send(b'.')
        elapsed = (time.perf_counter() - started) / packets
    else:
        base = 10000 if base > 50000 else base + connections
        started = time.perf_counter()
        for i in range(connections): many.sendto(b'.', (target, base + i))
        elapsed = (time.perf_counter() - started) / connections
    print(elapsed * 1e6, flush=True)
`
/** Answers datagrams of one letter. */
const RECEIVER = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('${TARGET}', 9000))
print('ready', flush=True)
while True:
    data, peer = s.recvfrom(100)
    if data == b'x': s.sendto(data, peer)
`

if (!process.env.BENCH_INSIDE) {
  const args = ['--net', '--mount', process.execPath, ...process.argv.slice(1)]
  const { status } = spawnSync('unshare', args, {
    stdio: 'inherit',
    env: { ...process.env, BENCH_INSIDE: '1' },
  })
  process.exit(status ?? 1)
}

const names = namesFor(`/bench-${process.pid}`)
const slot = (index: number) => ({
  interfaceName: `${names.vethPrefix}${index}`,
  address: `10.200.${Math.floor(index / 64)}.${(index % 64) * 4 + 2}`,
})
const egress: Egress = {
  proxyPort: 4000,
  dns: { address: '169.254.53.53', port: 5353 },
  setPolicy() {},
  removePolicy() {},
  caBundle: () => '',
  onRecord() {},
  async close() {},
}

/** A policy with rules of four lengths; the last of them allows the target. */
function policyOf(index: number, rules = RULES): NetworkPolicy {
  const range = (rule: number) =>
    [
      `12.${index % 250}.${rule}.0/24`,
      `13.${rule}.0.0/16`,
      `14.${index % 250}.${rule}.${rule}`,
      `15.${index % 250}.${rule}.128/25`,
    ][rule % 4]!
  const ranges = Array.from({ length: rules - 1 }, (_, rule) => range(rule))
  return {
    ...OPEN,
    allowRanges: ['11.0.0.0/8', ...ranges.slice(rules / 2)],
    denyRanges: ranges.slice(0, rules / 2),
  }
}

function sh(script: string): void {
  const { status, stderr } = spawnSync('sh', ['-ec', script], { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${script.slice(0, 200)}: ${stderr}`)
}

function openFirewall(hasEgress: boolean): Firewall {
  return new Firewall({
    names,
    range: '10.200.0.0/16',
    dns: '9.9.9.9',
    maxConnections: 60_000,
    egress: hasEgress ? egress : undefined,
    host: () => ({ addresses: ['12.0.0.1'], networks: [] }),
    onDoubt() {},
    onError: (error) => console.error(error),
  })
}

function openNamespaces(): void {
  mkdirSync('/run/netns', { recursive: true })
  const { interfaceName } = slot(0)
  sh(`mount -t tmpfs none /run/netns
sysctl -qw net.netfilter.nf_conntrack_max=1000000
ip link set lo up
ip netns add outside; ip netns add guest
ip link add out0 type veth peer name eth0 netns outside
ip link add ${interfaceName} type veth peer name eth0 netns guest
ip addr add 12.0.0.1/30 dev out0; ip link set out0 up
ip addr add ${GATEWAY}/30 dev ${interfaceName}; ip link set ${interfaceName} up
ip -n outside link set lo up; ip -n outside addr add 12.0.0.2/30 dev eth0; ip -n outside link set eth0 up
ip -n outside route add local 11.0.0.0/8 dev lo
ip netns exec outside sysctl -qw net.ipv4.icmp_ratelimit=0
ip netns exec outside nft 'table ip quiet { chain c { type filter hook input priority 0; udp dport 10000-65535 drop; }; }'
ip -n guest link set lo up; ip -n guest addr add ${GUEST}/30 dev eth0; ip -n guest link set eth0 up
ip -n guest route add default via ${GATEWAY}
ip route add default via 12.0.0.2`)
}

const start = (netns: string, program: string, ...args: string[]): ChildProcess =>
  spawn('ip', ['netns', 'exec', netns, 'python3', '-c', program, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })

/** Reads the lines that a program prints, one for each question. */
class Answers {
  readonly #waiting: Array<(line: string) => void> = []

  constructor(child: ChildProcess) {
    createInterface({ input: child.stdout! }).on('line', (line) => this.#waiting.shift()?.(line))
  }

  next(): Promise<string> {
    return new Promise((resolve) => this.#waiting.push(resolve))
  }
}

/** @returns microseconds for each packet */
async function measure(sender: ChildProcess, answers: Answers, kind: 'established' | 'new'): Promise<number> {
  sender.stdin!.write(`${kind}\n`)
  const micros = Number(await answers.next())
  if (kind === 'new') spawnSync('conntrack', ['-F'], { stdio: 'ignore' })
  return micros
}

interface Case {
  name: string
  known: Parameters<Firewall['install']>[0]
  hasEgress: boolean
}

const owner = { sandboxId: 'i', teamId: 't' }
const cases: Case[] = [
  { name: 'open, no egress', known: [{ slot: slot(0), network: OPEN }], hasEgress: false },
  { name: 'open, egress', known: [{ slot: slot(0), network: OPEN }], hasEgress: true },
  ...COUNTS.map((count) => ({
    name: `rules of ${count}`,
    known: Array.from({ length: count }, (_, index) => ({
      slot: slot(index),
      network: policyOf(index),
      owner,
    })),
    hasEgress: true,
  })),
]

openNamespaces()
const receiver = start('outside', RECEIVER)
await new Answers(receiver).next()
const sender = start('guest', SENDER, TARGET)
const answers = new Answers(sender)
const packets = new Map<string, { established: number[]; new: number[]; change: number[]; open: number[] }>()
const others = Array.from({ length: Math.max(...COUNTS) }, (_, index) => slot(index + 1).interfaceName)
// the firewall switches forwarding of each slot's interface
sh(
  `ip -batch - <<'END'\n${others.map((name) => `link add ${name} type veth peer name p${name}`).join('\n')}\nEND`,
)
for (let round = 0; round < ROUNDS; round++)
  for (const { name, known, hasEgress } of cases) {
    const firewall = openFirewall(hasEgress)
    await firewall.install(known)
    const found = packets.get(name) ?? { established: [], new: [], change: [], open: [] }
    packets.set(name, found)
    for (let i = 0; i < REPEATS; i++)
      for (const kind of ['established', 'new'] as const)
        found[kind].push(await measure(sender, answers, kind))
    const other = slot(Math.max(...COUNTS))
    for (let i = 0; i < CHANGES / ROUNDS; i++) {
      found.change.push((await timed(() => firewall.setPolicy(other, policyOf(i, 20), owner)))[1])
      await firewall.setPolicy(other, CLOSED)
      found.open.push((await timed(() => firewall.setPolicy(other, OPEN)))[1])
      await firewall.close(other)
    }
    firewall.dispose()
  }
sender.kill()
receiver.kill()

const least = (values: number[]) => round(Math.min(...values))
report('egress-packets', {
  unit: 'µs for each packet and new connection (the least of all rounds), ms for a change',
  ...Object.fromEntries(
    [...packets].map(([name, found]) => [
      name,
      {
        established: least(found.established),
        newConnection: least(found.new),
        'setPolicy with 20 rules': summarize(found.change),
        'setPolicy open': summarize(found.open),
      },
    ]),
  ),
})
process.exit()
