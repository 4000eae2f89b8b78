// Files, streams and requests through the edge, each beside the same request sent directly to the sandbox. See README.md.
import { addressOf, apiUrl, createSandbox, killAll, onExit } from './server.ts'
import { report, round, summarize, timed } from './stats.ts'

const ROUNDS = 5
const REQUESTS = 400
const PARALLEL = 16
const MiB = 2 ** 20

await onExit()
try {
  const sandbox = await createSandbox({ timeoutMs: 1_800_000 })
  const id = sandbox.sandboxId
  const token = {
    'x-access-token': String((sandbox as unknown as { envdAccessToken: string }).envdAccessToken),
  }
  const routed = { 'e2b-sandbox-id': id, 'e2b-sandbox-port': '49983', ...token }
  const address = addressOf(id)
  const ways = { edge: [apiUrl, routed], direct: [`http://${address}:49983`, token] } as const
  const results: Record<string, unknown> = {}
  const compare = (name: string, edge: number[], direct: number[], unit: string) => {
    results[name] = {
      edge: summarize(edge).p50,
      direct: summarize(direct).p50,
      unit,
      'edge/direct': round(summarize(edge).p50 / summarize(direct).p50),
    }
  }

  for (const size of [1, 100]) {
    const body = Buffer.alloc(size * MiB, 7)
    const up: Record<string, number[]> = { edge: [], direct: [] }
    const down: Record<string, number[]> = { edge: [], direct: [] }
    for (let i = 0; i < ROUNDS; i++)
      for (const [way, [base, headers]] of Object.entries(ways)) {
        const url = `${base}/files?path=/home/user/file-${size}`
        const upload = () =>
          fetch(url, {
            method: 'POST',
            body,
            headers: { ...headers, 'content-type': 'application/octet-stream' },
          }).then((r) => r.text())
        up[way]!.push((await timed(upload))[1])
        down[way]!.push(
          (
            await timed(() =>
              fetch(url, { headers: { ...headers, 'accept-encoding': 'identity' } }).then((r) =>
                r.arrayBuffer(),
              ),
            )
          )[1],
        )
      }
    compare(`upload of ${size} MiB`, up.edge!, up.direct!, 'ms')
    compare(`download of ${size} MiB`, down.edge!, down.direct!, 'ms')
  }

  const streamed: number[] = []
  for (let i = 0; i < 3; i++) {
    let bytes = 0
    const [, ms] = await timed(() =>
      sandbox.commands.run('head -c 50M /dev/zero | tr "\\0" x', {
        onStdout: (text) => void (bytes += text.length),
        timeoutMs: 0,
      }),
    )
    streamed.push((bytes / MiB / ms) * 1000)
  }
  results['output of a command through the SDK, MiB/s'] = summarize(streamed).p50

  const app = "require('http').createServer((q,s)=>s.end('ok')).listen(8080,'0.0.0.0',()=>console.log('up'))"
  await sandbox.commands.run(
    `nohup node -e "${app}" > /tmp/app.log 2>&1 & until grep -q up /tmp/app.log; do sleep 0.05; done`,
  )
  const appWays = {
    edge: [apiUrl, { 'e2b-sandbox-id': id, 'e2b-sandbox-port': '8080' }],
    direct: [`http://${address}:8080`, {}],
  } as const
  const perSecond: Record<string, number> = {}
  for (let round = 0; round < 2; round++)
    for (const [way, [base, headers]] of Object.entries(appWays)) {
      const latencies: number[] = []
      const [, ms] = await timed(() =>
        Promise.all(
          Array.from({ length: PARALLEL }, async () => {
            for (let i = 0; i < REQUESTS / PARALLEL; i++)
              latencies.push(
                (
                  await timed(() =>
                    fetch(base, { headers: headers as Record<string, string> }).then((r) => r.text()),
                  )
                )[1],
              )
          }),
        ),
      )
      perSecond[way] = (REQUESTS / ms) * 1000
      results[`requests to an app, ${way}: ms`] = summarize(latencies)
    }
  results['requests a second'] = {
    edge: round(perSecond.edge!),
    direct: round(perSecond.direct!),
    'edge/direct': round(perSecond.edge! / perSecond.direct!),
  }
  report('throughput', results)
} finally {
  await killAll()
}
process.exit(0)
