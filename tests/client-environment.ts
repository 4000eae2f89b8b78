import { readFileSync } from 'node:fs'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import { inject } from 'vitest'

/** Does what `source <home>/env` does for a user. Node reads NODE_EXTRA_CA_CERTS only when it starts, so the CA is also added by hand. */
const { env } = inject('server')
Object.assign(process.env, env)
setDefaultCACertificates([...getCACertificates('default'), readFileSync(env.NODE_EXTRA_CA_CERTS!, 'utf8')])
