import type { Schema } from '../api/schema.ts'
import { InvalidArgumentError } from '../errors.ts'

/** Every address. */
export const ALL_TRAFFIC = '0.0.0.0/0'

/** Changes to an outgoing request. */
export type SandboxNetworkTransform = {
  /** Headers to set, which replace existing ones. */
  headers?: Record<string, string>
}

/** Argument of a `transform` callback: placeholders that are replaced outside the sandbox, so that programs never see secrets. */
export type SandboxNetworkTransformContext = {
  iam: {
    /** A placeholder for each token of {@link SandboxOpts.iam}, by name. Reading another name throws. */
    tokens: Record<string, string>
  }
}

export type SandboxNetworkTransformResolver = (ctx: SandboxNetworkTransformContext) => SandboxNetworkTransform

/** One rule for requests to a domain. */
export type SandboxNetworkRule = {
  transform?: SandboxNetworkTransform | SandboxNetworkTransformResolver
}

/** Rules by domain. A rule does not allow a domain; `allowOut` does. */
export type SandboxNetworkRules = Record<string, SandboxNetworkRule[]> | Map<string, SandboxNetworkRule[]>

/** A rule as the API returns it. */
export type SandboxNetworkRuleInfo = {
  transform?: SandboxNetworkTransform
}

/** Argument of a callback for `allowOut` or `denyOut`. */
export type SandboxNetworkSelectorContext = {
  /** {@link ALL_TRAFFIC} */
  allTraffic: string
  rules: Map<string, SandboxNetworkRule[]>
}

/** CIDR blocks, addresses or host names, or a callback that returns them. */
export type SandboxNetworkSelector = string[] | ((ctx: SandboxNetworkSelectorContext) => string[])

/** Your own SOCKS5 proxy for all outgoing TCP. When the proxy fails, connections fail. */
export type SandboxEgressProxyOpts = {
  /** `host:port` */
  address: string
  /** Up to 255 bytes. */
  username?: string
  /** Up to 255 bytes, only with a username. */
  password?: string
  /** TLS to the proxy; the certificate is always verified. @default none */
  tls?: SandboxEgressProxyTlsOpts
}

/** TLS to an egress proxy. */
export type SandboxEgressProxyTlsOpts = {
  /** @default true */
  enabled?: boolean
  /** Name that the certificate must have. @default the host of the address */
  serverName?: string
  /** PEM of the authorities that the certificate must come from. @default the public ones */
  caCert?: string
}

/** The proxy as the API returns it, without the password and the authorities. */
export type SandboxEgressProxyInfo = {
  address: string
  username?: string
  tls?: { enabled?: boolean; serverName?: string }
}

/** Network rules: addresses that a sandbox may reach, and callers that may reach the sandbox. */
export type SandboxNetworkOpts = {
  /** Allowed addresses, which take precedence over `denyOut`. @default everything */
  allowOut?: SandboxNetworkSelector
  /** Denied addresses: CIDR blocks and addresses only. @default nothing */
  denyOut?: SandboxNetworkSelector
  /** Changes to outgoing requests, by domain. */
  rules?: SandboxNetworkRules
  egressProxy?: SandboxEgressProxyOpts
  /** IPv4 resolvers for a sandbox with names in `allowOut`; `[]` for no DNS. @default that of the server */
  dnsServers?: string[]
  /** false: every request to a port needs the header `e2b-traffic-access-token`. @default true */
  allowPublicTraffic?: boolean
  /** `Host` header of requests to the sandbox; `${PORT}` stands for the port. @default the client's own */
  maskRequestHost?: string
  /** Ports where the program itself speaks TLS; the certificate is not checked. */
  httpsPorts?: number[]
}

/** The network rules as the API returns them. */
export type SandboxNetworkInfo = {
  allowOut?: string[]
  denyOut?: string[]
  rules?: Record<string, SandboxNetworkRuleInfo[]>
  egressProxy?: SandboxEgressProxyInfo
  dnsServers?: string[]
  allowPublicTraffic?: boolean
  maskRequestHost?: string
  httpsPorts?: number[]
}

/** Network rules that can be changed on a running sandbox. Replaces all of them: fields that are left out are cleared. */
export type SandboxNetworkUpdate = {
  allowOut?: SandboxNetworkSelector
  denyOut?: SandboxNetworkSelector
  /** Does not check names of tokens, as the tokens of the sandbox are not known here. */
  rules?: SandboxNetworkRules
  egressProxy?: SandboxEgressProxyOpts
  /** IPv4 resolvers for a sandbox with names in `allowOut`; `[]` for no DNS. @default that of the server */
  dnsServers?: string[]
  /** false is the same as `denyOut: [ALL_TRAFFIC]`. */
  allowInternetAccess?: boolean
}

/** Calls the callbacks and returns plain lists and headers. `tokens` are the placeholders that transforms may use. */
export function resolveNetwork(
  { allowOut, denyOut, rules, egressProxy, dnsServers }: SandboxNetworkOpts | SandboxNetworkUpdate,
  tokens: Record<string, string>,
): Schema<'SandboxNetworkUpdateConfig'> {
  const ruleMap = rules instanceof Map ? rules : new Map(Object.entries(rules ?? {}))
  const context = { allTraffic: ALL_TRAFFIC, rules: ruleMap }
  const list = (selector: SandboxNetworkSelector | undefined) =>
    typeof selector === 'function' ? selector(context) : selector
  return {
    allowOut: list(allowOut),
    denyOut: list(denyOut),
    egressProxy,
    dnsServers,
    rules:
      rules &&
      Object.fromEntries(
        [...ruleMap].map(([host, entries]) => [host, entries.map((rule) => resolveRule(host, rule, tokens))]),
      ),
  }
}

function resolveRule(
  host: string,
  { transform }: SandboxNetworkRule,
  tokens: Record<string, string>,
): Schema<'SandboxNetworkRule'> {
  if (typeof transform !== 'function') return { transform }
  const resolved: unknown = transform({ iam: { tokens } })
  if (resolved === null || typeof resolved !== 'object' || resolved instanceof Promise)
    throw new InvalidArgumentError(
      `Network transform callback for '${host}' must return a transform object, got ${resolved === null ? 'null' : resolved instanceof Promise ? 'a promise' : typeof resolved}.`,
    )
  return { transform: resolved as SandboxNetworkTransform }
}

export function toNetworkInfo(network: Schema<'SandboxNetworkConfig'>): SandboxNetworkInfo {
  const { egressProxy, allowOut, denyOut, rules, dnsServers, ...rest } = network
  const { allowPublicTraffic, maskRequestHost, httpsPorts } = rest
  return {
    allowOut,
    denyOut,
    rules,
    ...(egressProxy && { egressProxy: toProxyInfo(egressProxy) }),
    ...(dnsServers && { dnsServers }),
    allowPublicTraffic: allowPublicTraffic ?? undefined,
    maskRequestHost,
    httpsPorts,
  }
}

const toProxyInfo = ({
  address,
  username,
  tls,
}: NonNullable<Schema<'SandboxEgressProxyConfig'>>): SandboxEgressProxyInfo => ({
  address,
  username,
  ...(tls && { tls: { enabled: tls.enabled, serverName: tls.serverName } }),
})
