import Type from 'typebox'
import { MapOf, StringMap } from './fields.ts'

const MAX_ENTRIES = 1000
const MAX_PORTS = 100

const EgressProxy = Type.Object(
  {
    address: Type.String({ maxLength: 512, description: 'host:port of a SOCKS5 proxy' }),
    username: Type.Optional(Type.String({ maxLength: 255 })),
    password: Type.Optional(Type.String({ maxLength: 255 })),
  },
  { description: 'Proxy for outgoing TCP connections. Not available yet (501)' },
)

const SandboxEgressProxyConfig = Type.Union([EgressProxy, Type.Null()], {
  title: 'SandboxEgressProxyConfig',
})

const NetworkTransform = Type.Object(
  { headers: Type.Optional(StringMap({ description: 'Headers set on requests to the domain' })) },
  { title: 'SandboxNetworkTransform' },
)

const NetworkRule = Type.Object(
  { transform: Type.Optional(NetworkTransform) },
  { title: 'SandboxNetworkRule' },
)

const rules = {
  allowOut: Type.Optional(
    Type.Array(Type.String({ maxLength: 256 }), {
      maxItems: MAX_ENTRIES,
      description:
        'Addresses, CIDR blocks, domains or *.domain that the sandbox may reach. Not available yet (501)',
    }),
  ),
  denyOut: Type.Optional(
    Type.Array(Type.String({ maxLength: 256 }), {
      maxItems: MAX_ENTRIES,
      description:
        'Addresses and CIDR blocks that the sandbox may not reach. Only ["0.0.0.0/0"] is available, else 501',
    }),
  ),
  egressProxy: Type.Optional(SandboxEgressProxyConfig),
  rules: Type.Optional(
    MapOf(Type.Array(NetworkRule), { description: 'Rules by domain. Not available yet (501)' }),
  ),
}

export const SandboxNetworkConfig = Type.Object(
  {
    allowPublicTraffic: Type.Optional(
      Type.Boolean({
        description: 'false: ports other than that of envd need the traffic access token. Default true',
      }),
    ),
    ...rules,
    maskRequestHost: Type.Optional(
      Type.String({
        maxLength: 255,
        pattern: '^[!-~]*$',
        description:
          'Host header that servers in the sandbox see; the placeholder PORT in braces is the port',
      }),
    ),
    httpsPorts: Type.Optional(
      Type.Array(Type.Integer({ minimum: 1, maximum: 65535 }), {
        maxItems: MAX_PORTS,
        description: 'Ports whose servers speak TLS. Not available yet (501)',
      }),
    ),
  },
  { title: 'SandboxNetworkConfig' },
)

export const SandboxNetworkUpdateConfig = Type.Object(
  { allow_internet_access: Type.Optional(Type.Boolean()), ...rules },
  { title: 'SandboxNetworkUpdateConfig', description: 'A field that is left out is cleared' },
)
