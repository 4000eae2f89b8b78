// Runs in the network namespace of an internet and serves all its services until its standard input ends.
import { once } from 'node:events'
import http from 'node:http'
import { join } from 'node:path'
import { addressesOf } from './addresses.ts'
import { readCertificates } from './certificate.ts'
import { startNameServer } from './services/name-server.ts'
import { startEcho, startSocks } from './services/plain-services.ts'
import { Records } from './services/records.ts'
import { startWeb } from './services/web.ts'
import { zoneOf } from './services/zone.ts'

const [folder = '', block = '', upstream = ''] = process.argv.slice(2)
const addresses = addressesOf(Number(block))
const { blackhole, ...listening } = addresses
const zone = zoneOf(addresses)
const records = new Records()
const certificates = await readCertificates(folder)

/** Tests read what arrived, and change names: `GET /records`, `PUT /names/<name>`. */
const control = http.createServer(async (request, response) => {
  const [, what, name] = request.url!.split('/')
  if (what === 'names') {
    const body = JSON.parse(Buffer.concat(await Array.fromAsync(request)).toString())
    if (body === null) delete zone[name!]
    else zone[name!] = body
    response.end()
    return
  }
  response.end(JSON.stringify(records))
})

await startNameServer({ addresses: Object.values(listening), zone, records, upstream })
await startEcho(Object.values(listening), records)
await startSocks(records, certificates.trusted)
await startWeb(records, certificates)
control.listen(join(folder, 'control.sock'))
await once(control, 'listening')

process.stdin.on('end', () => process.exit(0)).resume()
process.stdout.write('ready\n')
