import { once } from 'node:events'
import net from 'node:net'
import os from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { acceptedOf, addressOf, asRoot, gatewayOf, guest, pythonAsRoot, server } from './guest.ts'
import { type Outside, openOutside } from './outside.ts'

describe('from inside a sandbox', () => {
  const attacker = guest()
  const neighbour = guest()
  let outside: Outside
  /** Listens on every address of the host, as a careless service would. */
  let careless: net.Server
  const visitors: string[] = []
  let ownAddress: string
  let neighbourAddress: string
  let gateway: string

  beforeAll(async () => {
    outside = await openOutside()
    careless = net.createServer((socket) => {
      visitors.push(`${socket.remoteAddress}`)
      socket.destroy()
    })
    careless.listen(0, '::')
    await once(careless, 'listening')
    ownAddress = await addressOf(attacker())
    neighbourAddress = await addressOf(neighbour())
    gateway = await gatewayOf(attacker())
  }, 60_000)
  afterAll(async () => {
    careless?.close()
    await outside?.close()
  }, 30_000)

  const carelessPort = () => (careless.address() as net.AddressInfo).port
  /** Of the slots of each server, which are all alike, the first: suites that run at the time have dozens. */
  const isOneOfMany = (name: string) => /^sl[0-9a-f]{4}-[1-9]\d*$/.test(name)
  const hostAddresses = () => [
    gateway,
    ...Object.entries(os.networkInterfaces())
      .flatMap(([name, list]) => (isOneOfMany(name) ? [] : (list ?? [])))
      .map(({ address, family }) => (family === 'IPv6' ? `[${address}]` : address)),
  ]

  test('the internet is reachable, which the refusals below depend on', async () => {
    expect(await acceptedOf(attacker(), [`${outside.address}:${outside.port}`])).toHaveLength(1)
    expect(await acceptedOf(neighbour(), [`${outside.address}:${outside.port}`])).toHaveLength(1)
  })

  test('no address of the host accepts anything but DNS', async () => {
    const ports = [server.port, carelessPort(), 22, 80, 111, 443, 2375, 3000, 5432, 6443, 8080, 10250]
    // Loopback addresses are the sandbox's own inside it.
    const addresses = hostAddresses().filter((address) => !/^(127\.|\[::1\])/.test(address))
    const targets = addresses.flatMap((address) => ports.map((port) => `${address}:${port}`))
    expect(await acceptedOf(attacker(), targets)).toEqual([])
    expect(visitors).toEqual([])
  })

  test('a route to 127.0.0.1 through the gateway does not reach the host', async () => {
    const commands = [
      `ip route add 127.0.0.0/8 via ${gateway}`,
      'ip addr del 127.0.0.1/8 dev lo',
      `ip route add 127.0.0.2/32 via ${gateway}`,
    ]
    const second = await asRoot(attacker(), `unshare -n true; ${commands.join('; ')}; true`)
    expect(second.exitCode).toBe(0)
    const targets = [server.port, carelessPort()].flatMap((port) => [
      `127.0.0.1:${port}`,
      `127.0.0.2:${port}`,
    ])
    expect(await acceptedOf(attacker(), targets)).toEqual([])
    expect(visitors).toEqual([])
    await asRoot(attacker(), 'ip addr add 127.0.0.1/8 dev lo; true')
  })

  test('the cloud metadata service and private ranges cannot be reached', async () => {
    const targets = outside.privateAddresses.map((address) => `${address}:${outside.port}`)
    for (const target of targets) {
      const [address, port] = target.split(':')
      const socket = net.connect(Number(port), address)
      await once(socket, 'connect', { signal: AbortSignal.timeout(5_000) })
      socket.destroy()
    }
    expect(
      await acceptedOf(attacker(), [
        ...targets,
        '169.254.169.254:80',
        '169.254.170.2:80',
        '[fd00:ec2::254]:80',
      ]),
    ).toEqual([])
  })

  test('a public network of the host cannot be reached, soon after the host joined it', async () => {
    const target = `${outside.onLinkAddress}:${outside.port}`
    const socket = net.connect(outside.port, outside.onLinkAddress)
    await once(socket, 'connect', { signal: AbortSignal.timeout(5_000) })
    socket.destroy()
    await expect.poll(() => acceptedOf(attacker(), [target]), { timeout: 15_000 }).toEqual([])
  })

  test('another sandbox cannot be reached: neither its envd nor its servers', async () => {
    await neighbour().commands.run('cd /tmp && exec python3 -m http.server 8000 >/dev/null 2>&1', {
      background: true,
      timeoutMs: 0,
    })
    await neighbour().commands.run(
      'for i in $(seq 100); do curl -s 127.0.0.1:8000 >/dev/null && exit; sleep 0.1; done; exit 1',
    )
    expect(await acceptedOf(neighbour(), [`${neighbourAddress}:8000`])).toHaveLength(1)
    const targets = [`${neighbourAddress}:49983`, `${neighbourAddress}:8000`]
    expect(await acceptedOf(attacker(), targets)).toEqual([])
    const prefix = ownAddress.split('.').slice(0, 3).join('.')
    const around = Array.from({ length: 64 }, (_, i) => `${prefix}.${i}:49983`).filter(
      (at) => !at.startsWith(`${ownAddress}:`),
    )
    expect(await acceptedOf(attacker(), around)).toEqual([])
  })

  test.each(['/init', '/forward', '/freeze', '/unfreeze', '/upgrade'])(
    'envd answers %s to nobody',
    async (route) => {
      const body = JSON.stringify({
        accessToken: 'stolen',
        defaultUser: 'root',
        envVars: { STOLEN: '1' },
        port: 22,
      })
      for (const address of ['127.0.0.1', '[::1]', ownAddress, 'localhost']) {
        for (const method of ['POST', 'GET', 'PUT', 'CONNECT']) {
          const { stdout } = await asRoot(
            attacker(),
            `curl -s -m 5 -o /dev/null -w '%{http_code}' -X ${method} -H 'Content-Type: application/json' ` +
              `-H 'X-Forwarded-For: ${gateway}' -H 'X-Real-IP: ${gateway}' -d '${body}' http://${address}:49983${route}`,
          )
          expect(stdout, `${method} ${address}`).toMatch(/^(000|40[0-9])$/)
        }
      }
      expect((await attacker().commands.run('echo "$(printenv STOLEN || echo safe) $(id -un)"')).stdout).toBe(
        'safe user\n',
      )
    },
  )

  test('envd demands the access token from the inside too', async () => {
    for (const address of ['127.0.0.1', ownAddress]) {
      const { stdout } = await attacker().commands.run(
        `curl -s -m 5 -o /dev/null -w '%{http_code}' -X POST -H 'Content-Type: application/json' -d '{}' http://${address}:49983/process.Process/List`,
      )
      expect(stdout).toBe('401')
    }
  })

  test('packets with the address of another slot do not pass', async () => {
    const program = `
import json, socket, struct, subprocess, sys
own, forged, target, port, gateway = sys.argv[1:6]
port = int(port)
attempts = {}

def attempt(name, send):
    try:
        send()
        attempts[name] = "sent"
    except (OSError, subprocess.SubprocessError) as error:
        attempts[name] = str(error)

def honest():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"honest", (target, port))

def udp_packet(source, payload):
    udp = struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, socket.inet_aton(source), socket.inet_aton(target))
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    return head[:10] + struct.pack("!H", ~total & 0xFFFF) + head[12:] + udp

def raw(source):
    sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    sender.sendto(udp_packet(source, b"forged by a raw socket"), (target, 0))

def link_layer():
    sender = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    sender.sendto(udp_packet(forged, b"forged by a packet socket"), ("eth0", 0x0800, 0, 1, b"\\xff" * 6))

def second_address():
    subprocess.run(["ip", "addr", "add", forged + "/32", "dev", "eth0"], check=True, capture_output=True, timeout=5)
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((forged, 0))
    sender.sendto(b"forged by a second address", (target, port))

attempt("honest", honest)
attempt("raw, neighbour", lambda: raw(forged))
attempt("raw, gateway", lambda: raw(gateway))
attempt("raw, loopback", lambda: raw("127.0.0.1"))
attempt("packet socket", link_layer)
attempt("second address", second_address)
attempt("honest again", honest)
print(json.dumps(attempts))`
    const args = [ownAddress, neighbourAddress, outside.address, String(outside.port), gateway]
    const attempts = await pythonAsRoot<Record<string, string>>(attacker(), program, ...args)
    await asRoot(attacker(), `ip addr del ${neighbourAddress}/32 dev eth0; true`)
    expect(attempts['honest again']).toBe('sent')
    const arrived = await fetch(`http://${outside.address}:${outside.port}/datagrams`, {
      signal: AbortSignal.timeout(5_000),
    })
    const datagrams = (await arrived.json()) as string[]
    expect(datagrams).toContain('honest')
    expect(
      datagrams.filter((datagram) => datagram !== 'honest'),
      JSON.stringify(attempts),
    ).toEqual([])
  })

  test('a sandbox that takes the address of another sandbox does not disturb that sandbox', async () => {
    await asRoot(
      attacker(),
      `ip addr add ${neighbourAddress}/32 dev eth0; arping -c 3 -U -I eth0 ${neighbourAddress}; true`,
    )
    expect((await neighbour().commands.run('echo mine')).stdout).toBe('mine\n')
    expect(await acceptedOf(neighbour(), [`${outside.address}:${outside.port}`])).toHaveLength(1)
  })
})
