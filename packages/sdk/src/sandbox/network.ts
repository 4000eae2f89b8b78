import type { Schema } from '../api/schema.ts'
import { InvalidArgumentError } from '../errors.ts'

/** Every address. */
export const ALL_TRAFFIC = '0.0.0.0/0'

/** What is changed in a request on its way out. */
export type SandboxNetworkTransform = {
  /** Set on the request, over those it has. */
  headers?: Record<string, string>
}

/** What a `transform` callback gets: placeholders, which the way out replaces; secrets never reach the program. */
export type SandboxNetworkTransformContext = {
  iam: {
    /** A placeholder for each token of {@link SandboxOpts.iam}, by its name. Reading another name throws. */
    tokens: Record<string, string>
  }
}

export type SandboxNetworkTransformResolver = (ctx: SandboxNetworkTransformContext) => SandboxNetworkTransform

/** One rule for requests to a domain. */
export type SandboxNetworkRule = {
  transform?: SandboxNetworkTransform | SandboxNetworkTransformResolver
}

/** Rules by domain. Having a rule does not allow a domain: that is what `allowOut` is for. */
export type SandboxNetworkRules = Record<string, SandboxNetworkRule[]> | Map<string, SandboxNetworkRule[]>

/** A rule as the API tells it. */
export type SandboxNetworkRuleInfo = {
  transform?: SandboxNetworkTransform
}

/** What a callback for `allowOut` or `denyOut` gets. */
export type SandboxNetworkSelectorContext = {
  /** {@link ALL_TRAFFIC} */
  allTraffic: string
  rules: Map<string, SandboxNetworkRule[]>
}

/** CIDR blocks, addresses or host names, or a callback that returns them. */
export type SandboxNetworkSelector = string[] | ((ctx: SandboxNetworkSelectorContext) => string[])

/** A SOCKS5 proxy of yours that all outgoing TCP goes through. When it fails, so do the connections. */
export type SandboxEgressProxyOpts = {
  /** `host:port` */
  address: string
  /** Up to 255 bytes. */
  username?: string
  /** Up to 255 bytes, only with a username. */
  password?: string
}

/** The proxy as the API tells it: without its password. */
export type SandboxEgressProxyInfo = {
  address: string
  username?: string
}

/** What a sandbox may reach, and who may reach it. */
export type SandboxNetworkOpts = {
  /** Allowed, also where `denyOut` says no. @default everything */
  allowOut?: SandboxNetworkSelector
  /** Denied. CIDR blocks and addresses only. @default nothing */
  denyOut?: SandboxNetworkSelector
  /** What happens to requests on their way out, by domain. */
  rules?: SandboxNetworkRules
  egressProxy?: SandboxEgressProxyOpts
  /** false: every request to a port needs the header `e2b-traffic-access-token`. @default true */
  allowPublicTraffic?: boolean
  /** `Host` header of requests to the sandbox; `${PORT}` stands for the port. @default the one they came with */
  maskRequestHost?: string
  /** Ports behind which the program itself speaks TLS; its certificate is not checked. */
  httpsPorts?: number[]
}

/** The network settings as the API tells them. */
export type SandboxNetworkInfo = {
  allowOut?: string[]
  denyOut?: string[]
  rules?: Record<string, SandboxNetworkRuleInfo[]>
  egressProxy?: SandboxEgressProxyInfo
  allowPublicTraffic?: boolean
  maskRequestHost?: string
  httpsPorts?: number[]
}

/** What can be changed of a running sandbox. Replaces everything: what is left out is cleared. */
export type SandboxNetworkUpdate = {
  allowOut?: SandboxNetworkSelector
  denyOut?: SandboxNetworkSelector
  /** Names of tokens are not checked here: the request does not tell which the sandbox has. */
  rules?: SandboxNetworkRules
  egressProxy?: SandboxEgressProxyOpts
  /** false is the same as `denyOut: [ALL_TRAFFIC]`. */
  allowInternetAccess?: boolean
}

/** Calls the callbacks, so that plain lists and headers are left. `tokens` is what transforms may name. */
export function resolveNetwork(
  { allowOut, denyOut, rules, egressProxy }: SandboxNetworkOpts | SandboxNetworkUpdate,
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
  const { egressProxy, allowOut, denyOut, rules, ...rest } = network
  const { allowPublicTraffic, maskRequestHost, httpsPorts } = rest
  return {
    allowOut,
    denyOut,
    rules,
    ...(egressProxy && { egressProxy: { address: egressProxy.address, username: egressProxy.username } }),
    allowPublicTraffic,
    maskRequestHost,
    httpsPorts,
  }
}
