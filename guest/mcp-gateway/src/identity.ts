import { readFileSync } from 'node:fs'

/** As whom the servers run. */
export interface Identity {
  uid: number
  gid: number
  name: string
  home: string
}

/** Variables of the gateway that its servers get too. Keys that the sandbox's creator set for others are not among them. */
const PASSED_ON = [
  ...['PATH', 'LANG', 'LC_ALL', 'TZ'],
  ...['HTTP_PROXY', 'HTTPS_PROXY', 'NO_PROXY', 'http_proxy', 'https_proxy', 'no_proxy'],
  ...['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE'],
]

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/**
 * Returns the account `user` of a sandbox, so that files of servers belong to whoever works in the sandbox; the current
 * one where there is no such account, or where this process may not change to it.
 */
export function serverIdentity(passwd = readFileSync('/etc/passwd', 'utf8')): Identity {
  const accounts = passwd.split('\n').map((line) => line.split(':'))
  const uid = process.getuid!()
  const account =
    (uid === 0 && accounts.find(([name]) => name === 'user')) ||
    accounts.find(([, , id]) => Number(id) === uid)
  if (!account) return { uid, gid: process.getgid!(), name: String(uid), home: '/' }
  return { name: account[0]!, uid: Number(account[2]), gid: Number(account[3]), home: account[5] ?? '/' }
}

/** Returns the environment of a process that runs as `identity`. */
export function baseEnvironment(identity: Identity, own: NodeJS.ProcessEnv = process.env) {
  const passed = PASSED_ON.flatMap((name) => (own[name] === undefined ? [] : [[name, own[name]]]))
  return {
    PATH: DEFAULT_PATH,
    ...(Object.fromEntries(passed) as Record<string, string>),
    HOME: identity.home,
    USER: identity.name,
    LOGNAME: identity.name,
  }
}
