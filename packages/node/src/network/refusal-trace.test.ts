import { expect, test } from 'vitest'
import { Repeats, readRefusal } from './refusal-trace.ts'

const packet = (rest: string) =>
  `trace id 98b18531 inet sandlot_1234 refused_policy packet: iif "sl1234-0" oif "eth0" ether saddr 06:00:ac:10:00:02 ip saddr 10.1.0.2 ip daddr 11.0.0.1 ip dscp cs0 ip ttl 63 ip id 7 ip length 60 ${rest}`

test('a refused packet is read, whatever its protocol', () => {
  const common = { chain: 'refused_policy', source: '10.1.0.2', address: '11.0.0.1' }
  expect(
    readRefusal('sandlot_1234', packet('ip protocol tcp tcp sport 5 tcp dport 443 tcp flags == syn')),
  ).toEqual({
    ...common,
    ...{ protocol: 'tcp', port: 443, sourcePort: 5 },
  })
  expect(readRefusal('sandlot_1234', packet('ip protocol icmp icmp type echo-request'))).toEqual({
    ...common,
    protocol: 'icmp',
  })
})

test.each([
  packet('ip protocol tcp').replace('sandlot_1234', 'sandlot_abcd'),
  'trace id 98b18531 inet sandlot_1234 refused_policy rule meta l4proto tcp reject with tcp reset (verdict drop)',
  '',
])('other lines are left out: %s', (line) => expect(readRefusal('sandlot_1234', line)).toBeUndefined())

test('a packet that is sent again within a minute is a repetition', () => {
  const repeats = new Repeats()
  const refusal = { chain: 'c', source: 's', address: 'a', protocol: 'tcp', port: 1, sourcePort: 2 }
  const asked = [0, 1_000, 60_500, 200_000].map((nowMs) => repeats.isRepeated(refusal, nowMs))
  expect(asked).toEqual([false, true, true, false])
  expect(repeats.isRepeated({ ...refusal, sourcePort: 3 }, 200_001)).toBe(false)
})
