import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { promisify } from 'node:util'
import { namesFor } from '@sandlot/node/instance-names'
import type { Sandbox } from 'e2b-official'
import { asRoot } from './guest.ts'

const nft = async (input: string): Promise<string> => {
  const child = spawn('nft', ['-f', '-'], { stdio: ['pipe', 'pipe', 'inherit'], timeout: 10_000 })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => void (output += text))
  child.stdin.end(input)
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`nft ended with ${code} for:\n${input}`)
  return output
}

export interface Leaks {
  /** Packets since the last call that passed the forward hook from any slot of the instance and were not for `allowed`. */
  leaked: () => Promise<number>
  /** Packets for `allowed`, which show that packets are counted at all. */
  admitted: () => Promise<number>
  close: () => Promise<void>
}

/** Counts packets that are forwarded after all other tables were applied, in a table of its own. */
export async function countLeaks(home: string, allowed: string): Promise<Leaks> {
  const table = `sandlot_probe_${process.pid}`
  const slots = `"${namesFor(home).vethPrefix}*"`
  await nft(`
table inet ${table} {}
delete table inet ${table}
table inet ${table} {
  counter leaked { }
  counter admitted { }
  chain forwarded {
    type filter hook forward priority 300; policy accept;
    iifname ${slots} ip daddr ${allowed} counter name admitted accept
    iifname ${slots} counter name leaked
  }
}
`)
  const read = async (counter: string) =>
    Number(/packets (\d+)/.exec(await nft(`reset counter inet ${table} ${counter}\n`))?.[1])
  return {
    leaked: () => read('leaked'),
    admitted: () => read('admitted'),
    close: async () => void (await nft(`delete table inet ${table}\n`)),
  }
}

/** Removes the firewall of one instance, as `flush ruleset` would, and no other. */
export const deleteFirewall = async (home: string): Promise<void> => {
  await promisify(execFile)('nft', ['delete', 'table', 'inet', namesFor(home).nftTable], { timeout: 10_000 })
}

/**
 * What root in a guest may try, one packet every 5 ms: by its own address, by the network, gateway and broadcast address
 * of its slot, a neighbour's, a public one and loopback; UDP, TCP, ICMP, raw IP, packet sockets, DNS, IPv6.
 */
const SENDER = `
import fcntl, itertools, os, socket, struct, subprocess, sys, time
target, port = sys.argv[1], int(sys.argv[2])
text = lambda value: socket.inet_ntoa(struct.pack("!I", value))
# the sandbox's own, whatever it is now
sources = [""]
gateway = ""

def look_around():
    # a copy and a resumed sandbox have another slot
    global gateway
    for line in open("/proc/net/route").read().splitlines()[1:]:
        fields = line.split()
        if fields[1] == "00000000":
            gateway = socket.inet_ntoa(struct.pack("<I", int(fields[2], 16)))
    slot = struct.unpack("!I", socket.inet_aton(gateway))[0] - 1
    sources[1:] = [text(slot + offset) for offset in (0, 3, 6, 8)] + ["11.1.1.1", "127.0.0.1"]

def take_addresses():
    look_around()
    for source in sources[1:]:
        subprocess.run(["ip", "addr", "add", source + "/32", "dev", "eth0"], capture_output=True, timeout=5)

def checksum(data):
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF

def packet(source):
    udp = struct.pack("!HHHH", 40000, port, 12, 0) + b"leak"
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source or text(struct.unpack("!I", socket.inet_aton(gateway))[0] + 1)), socket.inet_aton(target))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + udp

def udp(source):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        sender.sendto(b"leak", (target, port))

def tcp(source):
    with socket.socket() as sender:
        sender.setblocking(False)
        sender.bind((source, 0))
        sender.connect_ex((target, port))
        time.sleep(0.005)

def echo(kind):
    def send(source):
        with socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP) as sender:
            sender.bind((source, 0))
            message = struct.pack("!BBHHH", 8, 0, 0, 1, 1)
            sender.sendto(message[:2] + struct.pack("!H", checksum(message)) + message[4:], (target, 0))
    return send

def raw(source):
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
        sender.sendto(packet(source), (target, 0))

def link(source):
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800)) as sender:
        sender.sendto(packet(source), ("eth0", 0x0800, 0, 1, b"\\xff" * 6))

def dns(source):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        query = struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + b"\\x04leak\\x00" + struct.pack("!HH", 1, 1)
        sender.sendto(query, ("169.254.53.53", 53))

def six(source):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"leak", ("2001:db8::1", port))

def mapped(source):
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"leak", ("::ffff:" + target, port))

ways = [udp, tcp, echo(socket.SOCK_RAW), echo(socket.SOCK_DGRAM), raw, link, six, mapped]
if len(sys.argv) > 3:
    ways.append(dns)

def as_gateway():
    # not for long: nothing answers the host meanwhile
    subprocess.run(["ip", "addr", "add", gateway + "/32", "dev", "eth0"], capture_output=True, timeout=5)
    for way in ways[:6]:
        try:
            way(gateway)
        except OSError:
            pass
    subprocess.run(["ip", "addr", "del", gateway + "/32", "dev", "eth0"], capture_output=True, timeout=5)

turns = itertools.count()
sent = 0
renewed = 0.0
while True:
    if time.monotonic() - renewed > 2:
        take_addresses()
        as_gateway()
        renewed = time.monotonic()
    turn = next(turns)
    way, source = ways[turn % len(ways)], sources[turn // len(ways) % len(sources)]
    for send, address in ((udp, ""), (way, source)):
        try:
            send(address)
            sent += 1
        except OSError:
            pass
        time.sleep(0.005)
    if sent % 20 < 2:
        with open("/tmp/sent.new", "w") as file:
            file.write(str(sent))
        os.rename("/tmp/sent.new", "/tmp/sent")
`

/** Starts the sender, which is part of everything that is saved of the sandbox. A sandbox with internet may use DNS. */
export async function startSender(
  sandbox: Sandbox,
  target: string,
  port: number,
  { withDns = true } = {},
): Promise<void> {
  await sandbox.files.write('/root/sender.py', SENDER, { user: 'root' })
  await sandbox.commands.run(
    `exec python3 /root/sender.py ${target} ${port} ${withDns ? 'dns' : ''} >/tmp/sender.log 2>&1`,
    {
      user: 'root',
      background: true,
      timeoutMs: 0,
    },
  )
  await sendsOn(sandbox)
}

/** Resolves when the guest's own count of packets grows, which shows that it tried. */
export async function sendsOn(sandbox: Sandbox, more = 100): Promise<void> {
  const sent = async () => Number((await asRoot(sandbox, 'cat /tmp/sent || echo 0')).stdout)
  const enough = (await sent()) + more
  for (let i = 0; i < 100; i++) {
    if ((await sent()) >= enough) return
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  throw new Error(`the sender does not send: ${(await asRoot(sandbox, 'cat /tmp/sender.log')).stdout}`)
}
