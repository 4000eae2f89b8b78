import { lookup } from 'node:dns/promises'
import { connect } from 'node:tls'
import { ENVD_PORT } from '@sandlot/protocol'
import type { Check, Verdict } from './finding.ts'

/** Label of a host like those of sandboxes. Checks of name and certificate need no sandbox behind the label. */
const PROBE_LABEL = `${ENVD_PORT}-doctor`
const CONNECT_TIMEOUT_MS = 8000

export const nameResolution: Check = async ({ domain, sandboxUrl }) => {
  const { hostname } = new URL(`https://${PROBE_LABEL}.${domain}`)
  try {
    const { address } = await lookup(hostname)
    return { status: 'ok', detail: `${hostname} is ${address}` }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    return {
      // With E2B_SANDBOX_URL the SDK does not use the names; only getHost() needs them.
      status: sandboxUrl ? 'warning' : 'failed',
      detail: `${hostname} has no address (${code})`,
      mend: hostname.endsWith('.localhost')
        ? 'Install libnss-myhostname (Debian), which knows *.localhost, or reach ports with `e2b sandbox port-forward`.'
        : `Point *.${domain.replace(/:\d+$/, '')} at the server in DNS.`,
    }
  }
}

export const sandboxTls: Check = ({ domain, sandboxUrl }) => {
  const { hostname, port } = new URL(`https://${PROBE_LABEL}.${domain}`)
  return new Promise<Verdict>((resolve) => {
    const socket = connect({ host: hostname, port: Number(port || 443), servername: hostname }, () => {
      const { subject, valid_to: validTo } = socket.getPeerCertificate()
      socket.destroy()
      resolve({
        status: 'ok',
        detail: `certificate of ${subject?.CN ?? hostname} is trusted until ${validTo}`,
      })
    })
    const fail = (code: string): void => {
      socket.destroy()
      resolve({
        status: sandboxUrl ? 'warning' : 'failed',
        detail: `no trusted connection to ${hostname}:${port || 443} (${code})`,
        mend: /CERT|SIGNED|UNABLE/.test(code)
          ? 'NODE_EXTRA_CA_CERTS must name the certificate authority of the server: `source <home>/env` sets it.'
          : 'See server and name resolution.',
      })
    }
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => fail('ETIMEDOUT'))
    socket.once('error', (error: NodeJS.ErrnoException) => fail(error.code ?? error.message))
  })
}
