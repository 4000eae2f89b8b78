import Type from 'typebox'
import { MapOf, Nullable, NullableBoolean } from './fields.ts'

/** Entries of `allowOut` and of `denyOut`. */
const MAX_ENTRIES = 1000
const MAX_ENTRY_LENGTH = 256
const MAX_HTTPS_PORTS = 128
const MAX_DNS_SERVERS = 10

const SandboxEgressProxyTlsConfig = Type.Object(
  {
    enabled: Type.Optional(Type.Boolean({ description: 'Speak TLS with the proxy. Default true' })),
    serverName: Type.Optional(
      Type.String({
        description:
          'Name that the certificate of the proxy must have, at most 253 characters. Default: the host of the address',
      }),
    ),
    caCert: Type.Optional(
      Type.String({
        writeOnly: true,
        description:
          'PEM of the authorities that the certificate must come from instead of the public ones, at most 8192 bytes. Never returned',
      }),
    ),
  },
  {
    title: 'SandboxEgressProxyTlsConfig',
    description: 'TLS to the proxy, 1.2 or newer; the certificate is always verified',
  },
)

const EgressProxy = Type.Object(
  {
    address: Type.String({ description: 'host:port of a SOCKS5 proxy, at most 255 bytes' }),
    username: Type.Optional(Type.String({ description: 'At most 255 bytes' })),
    password: Type.Optional(
      Type.String({
        writeOnly: true,
        description: 'At most 255 bytes, only with a username. Never returned',
      }),
    ),
    tls: Type.Optional(Nullable(SandboxEgressProxyTlsConfig)),
  },
  {
    description:
      'Proxy for outgoing TCP connections that the lists allow. When the proxy fails, connections fail. UDP and DNS do not pass it',
  },
)

const SandboxEgressProxyConfig = Type.Union([EgressProxy, Type.Null()], {
  title: 'SandboxEgressProxyConfig',
})

const NetworkTransform = Type.Object(
  {
    headers: Type.Optional(
      MapOf(Type.String({ format: 'password' }), {
        description: `Headers set on requests to the domain, which replace headers of the same name. Values may contain \${e2b.secrets.<name>} and \${e2b.identity.tokens.<name>}`,
      }),
    ),
  },
  { title: 'SandboxNetworkTransform' },
)

const NetworkRule = Type.Object(
  { transform: Type.Optional(NetworkTransform) },
  { title: 'SandboxNetworkRule' },
)

const rules = {
  allowOut: Type.Optional(
    Type.Array(Type.String({ maxLength: MAX_ENTRY_LENGTH }), {
      maxItems: MAX_ENTRIES,
      description:
        'IPv4 addresses, CIDR blocks, domains, *.domain (any depth below it) and * that the sandbox may reach, also when denyOut names them. Domains hold for ports 80 and 443, and need 0.0.0.0/0 in denyOut',
    }),
  ),
  denyOut: Type.Optional(
    Type.Array(Type.String({ maxLength: MAX_ENTRY_LENGTH }), {
      maxItems: MAX_ENTRIES,
      description: 'IPv4 addresses and CIDR blocks that the sandbox may not reach. Default: none',
    }),
  ),
  egressProxy: Type.Optional(SandboxEgressProxyConfig),
  rules: Type.Optional(
    MapOf(Type.Array(NetworkRule), {
      description:
        'Rules by domain or *.domain; an exact domain comes before the longest *.domain. They do not allow a domain',
    }),
  ),
  dnsServers: Type.Optional(
    Type.Array(Type.String({ maxLength: MAX_ENTRY_LENGTH }), {
      maxItems: MAX_DNS_SERVERS,
      description:
        'IPv4 addresses of the resolvers for a sandbox with domains in allowOut; [] for no DNS. Default: that of the server',
    }),
  ),
}

export const SandboxNetworkConfig = Type.Object(
  {
    allowPublicTraffic: Type.Optional(
      NullableBoolean({
        description:
          'false: ports other than that of envd need the traffic access token. null: the default, true',
      }),
    ),
    ...rules,
    maskRequestHost: Type.Optional(
      Type.String({
        maxLength: 255,
        description: `Host header that servers in the sandbox see, host or host:port; \${PORT} is the port. Default: that of the request`,
      }),
    ),
    httpsPorts: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: 65535 }), {
        maxItems: MAX_HTTPS_PORTS,
        description: 'Ports whose servers speak TLS, other than that of envd; certificates are not verified',
      }),
    ),
  },
  { title: 'SandboxNetworkConfig' },
)
export type SandboxNetworkConfig = Type.Static<typeof SandboxNetworkConfig>

export const SandboxNetworkUpdateConfig = Type.Object(
  {
    allow_internet_access: Type.Optional(
      NullableBoolean({ description: 'false: like denyOut with only 0.0.0.0/0. Default true' }),
    ),
    ...rules,
    closeExisting: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'true: also cut open connections that the new rules refuse. Default false',
      }),
    ),
  },
  {
    title: 'SandboxNetworkUpdateConfig',
    description: 'Replaces all rules for outgoing connections: a field that is left out is cleared',
  },
)
export type SandboxNetworkUpdateConfig = Type.Static<typeof SandboxNetworkUpdateConfig>

/** The rules that an update replaces. */
export type SandboxNetworkRules = Omit<SandboxNetworkUpdateConfig, 'allow_internet_access' | 'closeExisting'>
