import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { toAddress, toNumber } from '@sandlot/protocol/cidr'
import { CLOSED, type ConnectionRecord, type NetworkPolicy, OPEN } from '@sandlot/protocol/node'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import type { Attempt } from './packet-agent.fixture.ts'
import { remote } from './packet-remote.fixture.ts'
import type { PacketWorld, WorldOptions } from './packet-world.fixture.ts'

// biome-ignore lint/suspicious/noExplicitAny: answers cross a process
type Remote = { [M in keyof PacketWorld]: (...args: Parameters<PacketWorld[M]>) => Promise<any> }

const PUBLIC = '93.184.216.34'
const OWNER = { sandboxId: 'i1', teamId: 't' }
const DENY_ALL: NetworkPolicy = { ...OPEN, denyRanges: ['0.0.0.0/0'] }
const NAMES: NetworkPolicy = { ...DENY_ALL, allowNames: ['example.com'] }
/** Longest time for an answer that comes at once. */
const QUICK_MS = 1000

let world: Remote
let stop: () => void

/** Starts a world of network namespaces; needs root. */
async function openWorld(options: WorldOptions, ...namespaces: string[]): Promise<void> {
  const file = new URL('./packet-world.fixture.ts', import.meta.url).pathname
  const args = ['--net', '--mount', ...namespaces, process.execPath, file]
  const child = spawn('unshare', args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  await once(child, 'message')
  world = remote<Remote>(child)
  stop = () => child.disconnect()
  await world.open(options)
}

const tcp = (address: string, port: number, more: object = {}): Promise<Attempt> =>
  world.tcp(0, { address, port, ...more } as never)
const udp = (address: string, port: number, more: object = {}): Promise<Attempt> =>
  world.udp(0, { address, port, ...more } as never)
const hello = (address: string, port: number) => ({ outcome: `hello from ${address}:${port}` })
const refused = { outcome: 'ECONNREFUSED' }
const silent = { outcome: 'timeout' }
const set = (policy: NetworkPolicy, closeExisting?: boolean) =>
  world.setPolicy(0, policy, OWNER, closeExisting)

async function cleanUp(): Promise<void> {
  for (const slot of [0, 1]) {
    await world.close(slot)
    await world.forget(slot)
  }
  for (const where of ['host', 'outside'] as const) await world.accepted(where)
  expect((await world.info()).errors).toEqual([])
  expect(await world.examine()).toBeUndefined()
}

describe('ranges', () => {
  beforeAll(() => openWorld({ hasEgress: true, maxConnections: 40 }))
  afterAll(() => stop())
  afterEach(cleanUp)

  test('a closed slot reaches nothing and gets no answer; an open one reaches everything but closed ranges, silently', async () => {
    expect(await tcp(PUBLIC, 8080)).toMatchObject(silent)
    await set(OPEN)
    expect(await tcp(PUBLIC, 8080)).toMatchObject(hello(PUBLIC, 8080))
    expect(await udp(PUBLIC, 443)).toMatchObject({ outcome: 'ping' })
    expect(await udp('169.254.53.53', 53)).toMatchObject({ outcome: 'ping' })
    for (const address of ['10.20.0.1', '192.0.2.1', '12.0.0.1'])
      expect(await tcp(address, 8080, { timeoutMs: 400 })).toMatchObject(silent)
    expect((await world.accepted('outside')).filter((to: string) => /:(10|192)\./.test(to))).toEqual([])
  })

  test('a warm machine that a closed sandbox gets is closed by the second layer too', async () => {
    await world.setPolicy(0, OPEN)
    await set(CLOSED)
    const [link] = (await world.info()).interfaces
    expect(await world.sh(`cat /proc/sys/net/ipv4/conf/${link}/forwarding`)).toBe('0\n')
    expect(await tcp(PUBLIC, 8080, { timeoutMs: 300 })).toMatchObject(silent)
  })

  test('allow beats deny, and what is denied is refused at once, over TCP and UDP', async () => {
    await set({
      ...OPEN,
      allowRanges: ['11.1.0.0/16', '11.2.3.4'],
      denyRanges: ['11.0.0.0/8', '11.1.9.0/24'],
    })
    for (const address of ['11.1.0.1', '11.1.9.1', '11.2.3.4', PUBLIC])
      expect(await tcp(address, 8080)).toMatchObject(hello(address, 8080))
    for (const address of ['11.2.3.5', '11.0.0.1']) {
      const attempt = await tcp(address, 8080)
      expect(attempt).toMatchObject(refused)
      expect(attempt.ms).toBeLessThan(QUICK_MS)
    }
    expect(await udp('11.2.3.4', 8080)).toMatchObject({ outcome: 'ping' })
    const datagram = await udp('11.9.9.9', 8080)
    expect(datagram.outcome).toMatch(/EHOSTUNREACH|ECONNREFUSED|EACCES/)
    expect(datagram.ms).toBeLessThan(QUICK_MS)
  })

  test('a prefix of any length holds exactly for the addresses inside', async () => {
    const inside = '11.2.3.4'
    for (let bits = 0; bits <= 32; bits++) {
      await set({ ...OPEN, denyRanges: [`${inside}/${bits}`, '12.0.0.0/8'], allowRanges: ['12.0.0.0/8'] })
      // the neighbour differs in the last bit of the prefix only; shorter prefixes reach beyond what answers here
      const neighbour = toAddress(toNumber(inside) ^ (bits === 0 ? 0 : 2 ** (32 - bits)))
      const outside = bits >= 9 ? neighbour : bits >= 2 ? PUBLIC : undefined
      expect(await tcp(inside, 8080), `inside /${bits}`).toMatchObject(refused)
      if (outside) expect(await tcp(outside, 8080), `outside /${bits}`).toMatchObject(hello(outside, 8080))
    }
  })

  test('no policy opens a closed range', async () => {
    await set({ ...OPEN, allowRanges: ['10.0.0.0/8', '192.0.2.0/24', '0.0.0.0/0'] })
    expect(await tcp(PUBLIC, 8080)).toMatchObject(hello(PUBLIC, 8080))
    for (const address of ['10.20.0.1', '192.0.2.1'])
      expect((await tcp(address, 8080, { timeoutMs: 400 })).outcome).not.toMatch(/hello/)
    expect(await world.accepted('outside')).toHaveLength(1)
  })

  test('DNS of the host is reachable unless everything is denied; an allowed resolver works as an address', async () => {
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    expect(await udp('169.254.53.53', 53)).toMatchObject({ outcome: 'ping' })
    await set({ ...DENY_ALL, allowRanges: ['9.9.9.9'] })
    expect((await udp('169.254.53.53', 53, { timeoutMs: 600 })).outcome).not.toBe('ping')
    expect(await udp('9.9.9.9', 53)).toMatchObject({ outcome: 'ping' })
    expect((await udp('11.0.0.1', 53)).outcome).not.toBe('ping')
  })

  test('another policy acts on new connections only, and cuts open ones when asked', async () => {
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    await tcp(PUBLIC, 8080, { hold: 'a' })
    await tcp('93.184.1.1', 8080, { hold: 'b' })
    await set({ ...DENY_ALL, allowRanges: ['93.184.1.1'] })
    expect(await world.talk(0, 'a', 'still')).toBe('still')
    expect(await tcp(PUBLIC, 8080)).toMatchObject(refused)
    await set({ ...DENY_ALL, allowRanges: ['93.184.1.1', '11.1.1.1'] }, true)
    expect(await world.talk(0, 'a', 'more')).toBe('cut')
    expect(await world.talk(0, 'b', 'still')).toBe('still')
  })

  test('packets with another source address never leave', async () => {
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    await world.setPolicy(1, OPEN)
    const { netns, addresses } = await world.info()
    const spoofed = ['10.191.99.2', addresses[1], PUBLIC]
    for (const address of spoofed)
      await world.sh(`ip netns exec ${netns[0]} ip addr add ${address}/32 dev eth0`)
    for (const localAddress of spoofed)
      expect(await udp('93.184.1.1', 8080, { localAddress, timeoutMs: 300 })).toMatchObject(silent)
    expect(await world.accepted('outside')).toEqual([])
    for (const address of spoofed)
      await world.sh(`ip netns exec ${netns[0]} ip addr del ${address}/32 dev eth0`)
  })

  test('connections beyond the limit are refused, and those of the proxy and of UDP count too', async () => {
    await set(NAMES)
    for (let i = 0; i < 10; i++)
      expect(await tcp('11.0.0.1', 443, { hold: `p${i}` })).toMatchObject(hello('11.0.0.1', 443))
    await set({ ...NAMES, denyRanges: [] })
    for (let i = 0; i < 10; i++) await tcp('11.0.0.1', 8080, { hold: `k${i}` })
    for (let i = 0; i < 20; i++) await udp('11.0.0.1', 8080, { sourcePort: 20_000 + i })
    expect(await tcp('11.0.0.1', 8080)).toMatchObject(refused)
    expect(await tcp('11.0.0.1', 443)).toMatchObject(refused)
    expect((await udp('11.0.0.1', 8080)).outcome).not.toBe('ping')
    const [link] = (await world.info()).interfaces
    expect(await world.limitCounters()).toEqual([[link, expect.any(Number)]])
    const [[, refusedPackets]] = (await world.limitCounters()) as [[string, number]]
    expect(refusedPackets).toBeGreaterThanOrEqual(3)
    expect(await world.examine()).toBeUndefined()
    await world.setPolicy(1, OPEN)
    expect(await world.tcp(1, { address: '11.0.0.1', port: 8080 } as never)).toMatchObject(
      hello('11.0.0.1', 8080),
    )
  })
})

describe('the proxy', () => {
  beforeAll(() => openWorld({ hasEgress: true }))
  afterAll(() => stop())
  afterEach(cleanUp)

  /** Where connections of the slot that the test makes arrive: at the proxy, with their destination, or outside. */
  async function arrivals(): Promise<{ proxy: string[]; outside: string[] }> {
    const [address] = (await world.info()).addresses
    const proxy = (await world.accepted('host')).map((line: string) => line.replace(`${address} `, ''))
    return { proxy, outside: (await world.accepted('outside')).map((line: string) => line.split(' ')[1]!) }
  }

  test('connections to 80 and 443 arrive with their original destination and source; what else is denied is refused', async () => {
    await set(NAMES)
    for (const port of [80, 443]) expect(await tcp(PUBLIC, port)).toMatchObject(hello(PUBLIC, port))
    expect(await arrivals()).toEqual({ proxy: [`${PUBLIC}:80`, `${PUBLIC}:443`], outside: [] })
    expect(await tcp(PUBLIC, 8080)).toMatchObject(refused)
    expect((await udp(PUBLIC, 443)).outcome).not.toBe('ping')
    expect(await arrivals()).toEqual({ proxy: [], outside: [] })
  })

  test('allowed ranges go directly with names alone, and through the proxy with transforms', async () => {
    const policy = { ...NAMES, allowRanges: ['93.184.0.0/16'] }
    await set(policy)
    await tcp(PUBLIC, 443)
    expect(await arrivals()).toEqual({ proxy: [], outside: [`${PUBLIC}:443`] })
    await set({ ...policy, transforms: { 'example.com': { a: 'b' } } })
    await tcp(PUBLIC, 443)
    await tcp(PUBLIC, 8080)
    expect(await arrivals()).toEqual({ proxy: [`${PUBLIC}:443`], outside: [`${PUBLIC}:8080`] })
  })

  test('with an upstream proxy every port goes there, but closed ranges never do', async () => {
    await set({ ...OPEN, proxy: { host: 'p', port: 1080 } })
    await tcp(PUBLIC, 8080)
    await tcp(PUBLIC, 53)
    for (const address of ['10.20.0.1', '192.0.2.1', '12.0.0.1', '169.254.169.254'])
      expect((await tcp(address, 443, { timeoutMs: 400 })).outcome).not.toMatch(/hello/)
    expect(await arrivals()).toEqual({ proxy: [`${PUBLIC}:8080`, `${PUBLIC}:53`], outside: [] })
  })

  test('nothing passes while nobody listens', async () => {
    await set(NAMES)
    await world.restart([{ slot: 0, network: NAMES, owner: OWNER }], 9)
    expect(await tcp(PUBLIC, 443, { timeoutMs: 600 })).toMatchObject(silent)
    expect(await arrivals()).toEqual({ proxy: [], outside: [] })
    const [proxyPort] = await world.serveOnHost({ host: '127.0.0.1', tcp: [0], isTransparent: true } as never)
    await world.restart([{ slot: 0, network: NAMES, owner: OWNER }], proxyPort)
    expect(await tcp(PUBLIC, 443)).toMatchObject(hello(PUBLIC, 443))
  })

  test('no packet of a connection that the proxy has closed leaves the host', async () => {
    await set(NAMES)
    await tcp(PUBLIC, 443, { hold: 'a' })
    const { netns } = await world.info()
    // the sandbox does not hear of the end, and continues to send, as a hostile one would
    await world.sh(`ip netns exec outside nft -f - <<'END'
table ip seen {
  counter sent {}
  chain c {
    type filter hook prerouting priority 0;
    ip daddr ${PUBLIC} counter name sent
  }
}
END
ip netns exec ${netns[0]} nft 'table ip deaf { chain c { type filter hook input priority 0; policy drop; }; }'`)
    await world.resetProxy()
    expect(await world.talk(0, 'a', 'leak')).toBe('timeout')
    expect(await world.sh('ip netns exec outside nft list counter ip seen sent')).toContain('packets 0 ')
    await world.sh(
      `ip netns exec ${netns[0]} nft delete table ip deaf; ip netns exec outside nft delete table ip seen`,
    )
  })

  test('open connections of the proxy and of the kernel live on under other policies, and are told to the proxy', async () => {
    const [address] = (await world.info()).addresses
    await set(NAMES)
    await tcp(PUBLIC, 443, { hold: 'proxied' })
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    await tcp(PUBLIC, 443, { hold: 'direct' })
    expect(await world.accepted('outside')).toHaveLength(1)
    expect(await world.talk(0, 'proxied', 'one')).toBe('one')
    await set(NAMES)
    for (const hold of ['proxied', 'direct']) expect(await world.talk(0, hold, 'two')).toBe('two')
    await set(NAMES, true)
    await set({ ...NAMES, allowNames: ['other.com'] }, true)
    expect(await world.talk(0, 'proxied', 'three')).toBe('three')
    expect(await world.talk(0, 'direct', 'three')).toBe('cut')
    const told = (await world.info()).egressCalls
    expect(told).toEqual([
      `${address} i1 example.com`,
      `${address} i1 `,
      `${address} i1 example.com`,
      `${address} i1 example.com closing`,
      `${address} i1 other.com closing`,
    ])
    await world.close(0)
    expect((await world.info()).egressCalls).toEqual([`${address} removed`])
  })

  test("DNS of a slot with names reaches the proxy's resolver, whatever server it asks; nobody else reaches that", async () => {
    await set(NAMES)
    const { addresses } = await world.info()
    for (const address of ['169.254.53.53', PUBLIC, '9.9.9.9'])
      expect(await udp(address, 53)).toMatchObject({ outcome: 'ping' })
    expect(await tcp(PUBLIC, 53)).toMatchObject(hello('169.254.53.53', 5353))
    expect(await world.accepted('host')).toEqual([
      ...Array(3).fill(`${addresses[0]} udp:5353`),
      `${addresses[0]} 169.254.53.53:5353`,
    ])
    expect((await udp('169.254.53.53', 5353, { timeoutMs: 300 })).outcome).not.toBe('ping')
    await world.setPolicy(1, OPEN)
    const other = { address: '169.254.53.53', timeoutMs: 300 }
    expect(await world.udp(1, { ...other, port: 5353 } as never)).toMatchObject(silent)
    expect(await world.udp(1, { ...other, port: 53 } as never)).toMatchObject({ outcome: 'ping' })
    expect((await world.hostUdp({ ...other, port: 5353 } as never)).outcome).not.toBe('ping')
    expect(await arrivals()).toEqual({ proxy: [], outside: ['udp:53'] })
  })

  test('nothing passes without the route to the proxy, which is added again', async () => {
    await set(NAMES)
    const { mark } = await world.info()
    await world.sh(`ip rule del fwmark ${mark}; ip route flush table ${mark}`)
    expect(await tcp(PUBLIC, 443, { timeoutMs: 600 })).toMatchObject(silent)
    expect(await arrivals()).toEqual({ proxy: [], outside: [] })
    await world.keepRoute()
    expect(await tcp(PUBLIC, 443)).toMatchObject(hello(PUBLIC, 443))
  })

  test('a removed firewall leaves no routing rule behind', async () => {
    const { mark } = await world.info()
    expect(await world.sh('ip rule show')).toContain(`fwmark 0x${mark.toString(16)}`)
    await world.remove()
    expect(await world.sh('ip rule show; ip route show table all')).not.toMatch(/fwmark|169\.254\.53\.53/)
    await world.remove()
    await world.restart([])
  })
})

describe('without a proxy', () => {
  beforeAll(() => openWorld({ allowedRanges: ['10.20.0.0/16'], recordAll: true }))
  afterAll(() => stop())
  afterEach(cleanUp)

  test('the first refusal of the first sandbox that is recorded is in the record', async () => {
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    await world.record(true)
    expect(await tcp('11.0.0.1', 443)).toMatchObject(refused)
    const denied = { ...OWNER, address: '11.0.0.1', port: 443, verdict: 'denied', rule: 'deny 11.0.0.0/8' }
    await expect.poll(() => world.records()).toMatchObject([denied])
  })

  test("a policy that needs it is refused with a reason, and the administrator's ranges are open to every policy", async () => {
    await expect(set(NAMES)).rejects.toThrow('this node has no egress proxy')
    expect(await tcp(PUBLIC, 443, { timeoutMs: 300 })).toMatchObject(silent)
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    expect(await tcp('10.20.0.1', 8080)).toMatchObject(hello('10.20.0.1', 8080))
    await world.restart([{ slot: 0, network: NAMES, owner: OWNER }])
    expect(await tcp(PUBLIC, 443, { timeoutMs: 300 })).toMatchObject(silent)
  })

  test.each([
    ['an additional rule', 'insert rule inet TABLE from_sandbox accept'],
    ['an open address', 'add element inet TABLE open { "eth9" . 10.191.0.2 }'],
    ['no rules', 'flush table inet TABLE'],
    ['another host network', 'add element inet TABLE host_networks { 99.0.0.0/8 }'],
  ])(
    'a table that another program has given %s is at fault until it is installed again',
    async (_, command) => {
      await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
      expect(await world.examine()).toBeUndefined()
      const { table } = await world.info()
      await world.sh(`nft '${command.replace('TABLE', table)}'`)
      const fault = await world.examine()
      expect(fault).toMatch(/changed by another program/)
      if (command.startsWith('insert'))
        expect(fault).toContain("('accept' instead of 'iifname . ip saddr @open")
      await world.restart([])
    },
  )
})

describe('in a process namespace, as of a container', () => {
  beforeAll(() => openWorld({}, '--pid', '--fork', '--mount-proc', '--kill-child'))
  afterAll(() => stop())

  test('own changes of ranges are no fault, and a change of rules by another program is', async () => {
    const changes: boolean[] = []
    const count = async () => changes.push(...(await world.changes()))
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    await expect.poll(count).toBeGreaterThan(0)
    expect(await world.examine(changes.includes(true))).toBeUndefined()
    const { table } = await world.info()
    await world.sh(`nft insert rule inet ${table} from_sandbox accept`)
    await expect.poll(count).toBeGreaterThan(1)
    expect(await world.examine(changes.includes(true))).toMatch(/from_sandbox|instead of/)
    expect(changes).not.toContain(true)
  })
})

describe('when all are recorded', () => {
  beforeAll(async () => {
    await openWorld({ recordAll: true })
    await world.record(true)
  })
  afterAll(() => stop())
  afterEach(cleanUp)

  test('what a closed sandbox tries is recorded, and reaches nothing', async () => {
    await set(CLOSED)
    expect(await tcp(PUBLIC, 8080, { timeoutMs: 200 })).toMatchObject(silent)
    const denied = (fields: object) =>
      expect.objectContaining({ ...OWNER, ...fields, verdict: 'denied', rule: 'deny 0.0.0.0/0' })
    await expect
      .poll(() => world.records())
      .toEqual([denied({ address: PUBLIC, port: 8080, protocol: 'tcp' })])
    expect((await udp('169.254.53.53', 53, { timeoutMs: 200 })).outcome).not.toBe('ping')
    expect(await world.accepted('outside')).toEqual([])
    await set(OPEN)
    expect(await tcp(PUBLIC, 8080)).toMatchObject(hello(PUBLIC, 8080))
    await set(DENY_ALL)
    expect(await tcp(PUBLIC, 8080)).toMatchObject(refused)
  })
})

describe('the record', () => {
  /** Addresses of connections before the tests, one that is denied and one that is not. */
  const WARM_UP = ['11.9.9.9', '93.184.1.1']
  const LIMIT = 20
  beforeAll(async () => {
    await openWorld({ hasEgress: true, maxConnections: LIMIT })
    await world.record(true)
    // `conntrack` reports nothing before it listens
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    const seen = new Set<string>()
    await vi.waitFor(
      async () => {
        await udp(WARM_UP[0]!, 8080, { timeoutMs: 50 })
        await udp(WARM_UP[1]!, 8080)
        await world.forget(0)
        for (const { verdict } of await world.records()) seen.add(verdict)
        expect(seen.size).toBe(2)
      },
      { timeout: 20_000, interval: 500 },
    )
  }, 40_000)
  afterAll(() => stop())
  afterEach(cleanUp)

  /** Waits for this number of records, and returns what does not depend on time. */
  async function recorded(count: number) {
    const found: ConnectionRecord[] = []
    const find = async () => {
      const records: ConnectionRecord[] = await world.records()
      found.push(...records.filter(({ address }) => !WARM_UP.includes(address!)))
      return found.length
    }
    await expect.poll(find).toBe(count)
    return found.map(({ recordId, startedAtMs, ...record }) => record)
  }

  test('connections that the kernel passes are recorded when it forgets them, with bytes and the rule that decided', async () => {
    await set({ ...OPEN, allowRanges: ['93.184.0.0/16'], denyRanges: ['11.0.0.0/8'] })
    await tcp(PUBLIC, 8080)
    await udp('9.9.9.9', 53)
    await world.forget(0)
    const common = { ...OWNER, durationMs: expect.any(Number), verdict: 'allowed' }
    const records = await recorded(2)
    expect(records).toContainEqual({
      ...common,
      protocol: 'tcp',
      address: PUBLIC,
      port: 8080,
      bytesOut: expect.any(Number),
      bytesIn: expect.any(Number),
      rule: 'allow 93.184.0.0/16',
    })
    expect(records).toContainEqual(
      expect.objectContaining({
        protocol: 'udp',
        address: '9.9.9.9',
        port: 53,
        rule: 'default',
        bytesOut: 32,
      }),
    )
    for (const { bytesIn, bytesOut } of records) expect(Math.min(bytesIn, bytesOut)).toBeGreaterThan(0)
  })

  test('a connection that closed or was reset is recorded once, soon and with all bytes, while others live on', async () => {
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    await tcp('93.184.1.2', 8080, { hold: 'long' })
    await tcp(PUBLIC, 8080, { hold: 'closed' })
    expect(await world.talk(0, 'closed', 'x'.repeat(1000))).toBe('x'.repeat(1000))
    await world.hangUp(0, 'closed')
    await tcp(PUBLIC, 443, { hold: 'reset' })
    await world.hangUp(0, 'reset', true)
    const records = await recorded(2)
    const common = { ...OWNER, protocol: 'tcp', address: PUBLIC, verdict: 'allowed', rule: 'default' }
    expect(records).toMatchObject([
      { ...common, port: 8080 },
      { ...common, port: 443 },
    ])
    for (const way of ['bytesIn', 'bytesOut'] as const) {
      expect(records[0]![way]).toBeGreaterThan(1000)
      expect(records[0]![way]).toBeLessThan(2000)
    }
    expect(await world.talk(0, 'long', 'still')).toBe('still')
    await world.forget(0)
    expect(await recorded(1)).toMatchObject([{ address: '93.184.1.2' }])
    expect(await world.records()).toEqual([])
  })

  test('refused connections are recorded at once, with the rule', async () => {
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8', '11.2.0.0/16'] })
    await tcp('11.2.0.1', 443)
    await udp('11.2.0.1', 443)
    expect(await recorded(2)).toEqual(
      ['tcp', 'udp'].map((protocol) => ({
        ...OWNER,
        durationMs: 0,
        protocol,
        address: '11.2.0.1',
        port: 443,
        bytesOut: 0,
        bytesIn: 0,
        verdict: 'denied',
        rule: 'deny 11.0.0.0/8',
      })),
    )
  })

  test('what the proxy and its resolver handle is left to them', async () => {
    await set(NAMES)
    await tcp(PUBLIC, 443)
    await udp('169.254.53.53', 53)
    await udp(PUBLIC, 443)
    await world.forget(0)
    expect(await recorded(1)).toMatchObject([{ protocol: 'udp', verdict: 'denied', rule: 'deny 0.0.0.0/0' }])
  })

  test('connections beyond the limit are recorded as such', async () => {
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    for (let i = 0; i < LIMIT; i++) await tcp(PUBLIC, 8080, { hold: `h${i}` })
    expect(await tcp(PUBLIC, 443)).toMatchObject(refused)
    expect(await recorded(1)).toMatchObject([{ port: 443, verdict: 'denied', rule: 'connection limit' }])
    await world.forget(0)
    await recorded(LIMIT)
  })

  test('without the filters of the links the table refuses closed ranges itself, at once, and this is recorded', async () => {
    const [link] = (await world.info()).interfaces
    await world.sh(`tc qdisc del dev ${link} clsact`)
    await set({ ...OPEN, allowRanges: ['10.0.0.0/8'] })
    for (const address of ['10.20.0.1', '192.0.2.1']) expect(await tcp(address, 8080)).toMatchObject(refused)
    expect(await recorded(2)).toMatchObject([
      { address: '10.20.0.1', verdict: 'denied', rule: 'closed range' },
      { address: '192.0.2.1', verdict: 'denied', rule: 'closed range' },
    ])
  })

  test('a program that dies is started again', async () => {
    await set({ ...OPEN, denyRanges: ['11.0.0.0/8'] })
    await world.killRecorders()
    const isRecorded = async () => {
      await tcp('11.0.0.1', 443)
      return (await world.records()).length > 0
    }
    await expect.poll(isRecorded, { timeout: 15_000, interval: 1100 }).toBe(true)
    expect((await world.info()).errors).toHaveLength(2)
  })
})
