import Type from 'typebox'

const address = '^(\\d{1,3}\\.){3}\\d{1,3}$'

/** How a setting is described to users; `expects` completes the sentence "must be …". */
interface SettingDetails {
  description: string
  expects: string
  default?: unknown
  /** Never printed, and has no flag, as all users of a machine can see command lines. */
  isSecret?: boolean
}

const LISTEN = '(\\[[0-9a-f:.]+\\]|[^\\s:\\[\\]]+):\\d{1,5}'

const text = (pattern: string, details: SettingDetails) => Type.String({ pattern, ...details })
const integer = (minimum: number, maximum: number, details: Omit<SettingDetails, 'expects'>) =>
  Type.Integer({ minimum, maximum, expects: `a whole number from ${minimum} to ${maximum}`, ...details })
const list = (pattern: string, details: SettingDetails) =>
  Type.Array(Type.String({ pattern }), { maxItems: 64, ...details })

/**
 * All settings. A flag is `--kebab-case`, an environment variable `SANDLOT_UPPER_CASE`, a key of
 * `sandlot.config.json` the name itself. Settings without a default here get one that depends on the machine (`config.ts`).
 */
export const settingsSchema = Type.Object(
  {
    home: text('^/', {
      description: 'Folder of this instance: database, images, keys. Default: <repo>/.sandlot',
      expects: 'an absolute path',
    }),
    store: text('^sqlite$|^postgres(ql)?://\\S+$', {
      description:
        'Database: `sqlite` is the file `db.sqlite` in the home; a URL of PostgreSQL 14 or newer (user, password, host, database; parameters such as `sslmode=verify-full`) uses that instead, where one server is active and others wait as standby. `sandlot db copy` moves an instance from one to the other',
      expects: 'sqlite, or postgres://<user>:<password>@<host>/<database>',
      default: 'sqlite',
      isSecret: true,
    }),
    listen: text(`^${LISTEN}$`, {
      description: 'Address and port for HTTP and TLS; on 127.0.0.1 also ::1',
      expects: 'host:port, for example 127.0.0.1:3000 or [::]:3000',
      default: '127.0.0.1:3000',
    }),
    sandboxListen: text(`^$|^${LISTEN}$`, {
      description:
        'Second address, for sandboxes only, told apart by header: for clients that cannot resolve names below the domain. `env` then sets E2B_SANDBOX_URL',
      expects: 'host:port with a port of its own, for example 0.0.0.0:3001, or nothing',
      default: '',
    }),
    domain: text('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\\d{1,5})?$', {
      description: 'Domain that sandboxes hang below, with its port. Default: sandlot.localhost:<port>',
      expects: 'a lower-case domain name with an optional port, for example sandboxes.example.com',
    }),
    adminEmail: text('^[^\\s@]+@[^\\s@]+$', {
      description: 'Who signs in to this server, as the CLI shows it. Default: admin@<domain without port>',
      expects: 'an e-mail address, for example me@example.com',
    }),
    requireSecure: Type.Boolean({
      description:
        'Refuse sandboxes without an access token. Clients 1.x ask for such: whoever has the id of one may use it',
      expects: 'true or false',
      default: false,
    }),
    maxConnections: integer(16, 1_000_000, {
      description: 'Open connections at one time, to the API and to sandboxes; more are refused',
      default: 8192,
    }),
    maxConnectionsPerAddress: integer(0, 1_000_000, {
      description:
        'Of them from one address (IPv6: one /64); 0 for no limit, as behind a proxy on another machine. This machine itself has none',
      default: 1000,
    }),
    role: Type.Union([Type.Literal('all')], {
      description: 'What this process does',
      expects: 'all (other roles come later)',
      default: 'all',
    }),
    logLevel: Type.Union(
      (['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const).map((level) => Type.Literal(level)),
      {
        description: 'Least severe log line that is written',
        expects: 'one of trace, debug, info, warn, error, silent',
        default: 'info',
      },
    ),
    networkRange: text(`${address.slice(0, -1)}/(1[2-9]|2[0-8])$`, {
      description: "Private IPv4 range for the sandboxes' network slots; two instances need different ones",
      expects: 'an IPv4 range of /12 to /28, for example 10.177.0.0/16',
      default: '10.177.0.0/16',
    }),
    dns: text(`^$|${address}`, {
      description: "IPv4 name server that sandboxes' queries go to. Default: the machine's own",
      expects: 'an IPv4 address, for example 1.1.1.1',
      default: '',
    }),
    allowedRanges: list(`${address.slice(0, -1)}(/\\d{1,2})?$`, {
      description:
        'IPv4 ranges that sandboxes may reach although they are private or a network that the machine lies on',
      expects: 'IPv4 ranges separated by commas, for example 10.0.5.0/24',
      default: [],
    }),
    packageRegistries: list('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$', {
      description:
        'Registries that sandboxes reach even where the name server of this machine says that they are at addresses for documentation (RFC 5737), as in labs without internet',
      expects: 'host names separated by commas, for example registry.npmjs.org,pypi.org',
      default: [
        ...['registry.npmjs.org', 'registry.yarnpkg.com', 'pypi.org', 'files.pythonhosted.org'],
        ...[
          'deb.debian.org',
          'security.debian.org',
          'proxy.golang.org',
          'index.crates.io',
          'static.crates.io',
        ],
      ],
    }),
    sandboxConnections: integer(1, 1_000_000, {
      description:
        'Connections that one sandbox may have outward at a time, also those that are not forgotten yet; more are dropped',
      default: 4096,
    }),
    allowedRegistries: list('^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\\d{1,5})?$', {
      description:
        'Registries at private addresses, or on this machine, that templates may be built from all the same; plain HTTP is used only there',
      expects:
        'hosts separated by commas, with a port unless it is 443 or 80, for example localhost:5000,registry.lan',
      default: [],
    }),
    poolMax: integer(0, 1000, { description: 'Most warm sandboxes kept ready; 0 keeps none', default: 16 }),
    poolMin: integer(0, 1000, {
      description: 'Warm sandboxes kept ready even when idle. Default: 4, at most poolMax',
    }),
    poolMemoryFloorMB: integer(0, 1_048_576, {
      description: 'The warm pool stops filling when less memory than this is available',
      default: 1024,
    }),
    diskFloorMB: integer(0, 1_048_576, {
      description:
        'With less disk free than this (at most 5 % of it) nothing starts, and sandboxes that write stand still until there is room',
      default: 1024,
    }),
    hotPauseSeconds: integer(0, 86_400, {
      description:
        'How long a paused sandbox also stays frozen in memory, so that a resume takes about a millisecond',
      default: 60,
    }),
    unpackedCheckpointsMB: integer(0, 1_048_576, {
      description:
        'Checkpoints kept unpacked beside their packed copies, so that a cold resume reads plain files',
      default: 10_240,
    }),
    checkpointBucket: text('^$|^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$', {
      description:
        "S3 bucket that checkpoints are copied to. Credentials: the AWS SDK's environment variables and files",
      expects: 'the name of a bucket, or nothing',
      default: '',
    }),
    checkpointEndpoint: text('^$|^https?://', {
      description: "URL of an S3-compatible service; default Amazon's",
      expects: 'an http or https URL',
      default: '',
    }),
    checkpointRegion: text('^[a-z0-9-]+$', {
      description: 'Region of the bucket',
      expects: 'a region, for example eu-central-1',
      default: 'us-east-1',
    }),
    checkpointPrefix: text('^[A-Za-z0-9/_.-]*$', {
      description: 'Folder in the bucket; each instance needs its own unless they share checkpoints',
      expects: 'a path without blanks',
      default: '',
    }),
    checkpointSecret: text('^$|^.{32,}$', {
      description:
        'What everything in the bucket is sealed with, so that another machine that has the same can take over paused sandboxes (`sandlot adopt`). Without it a key of this home is used, `<home>/bucket.key`',
      expects: 'at least 32 characters, for example what `openssl rand -hex 32` prints, or nothing',
      default: '',
      isSecret: true,
    }),
    packedCacheMB: integer(0, 1_048_576, {
      description: 'Packed checkpoints kept on this machine once the bucket has them; 0 keeps all',
      default: 0,
    }),
    unlistedGraceDays: integer(0, 3650, {
      description:
        'Checkpoints and machines that the database does not list, as it is empty, older or of another home, are kept for so long (`sandlot doctor`); only the same database deletes them',
      default: 7,
    }),
    slots: integer(1, 16_000, { description: 'Most sandboxes at once, warm ones included', default: 256 }),
    cpuCount: integer(1, 64, { description: 'CPUs of a sandbox of the base template', default: 2 }),
    memoryMB: integer(128, 1_048_576, { description: 'Memory of such a sandbox', default: 1024 }),
    diskSizeMB: integer(512, 1_048_576, { description: 'Disk quota of such a sandbox', default: 10_240 }),
    catalog: list('^[a-z0-9-]+$', {
      description:
        'Templates of the catalogue that are built in the background after a start: names, all, or none',
      expects: 'names of templates separated by commas, for example claude,codex; or all, or none',
      default: ['all'],
    }),
    catalogFloorMB: integer(0, 1_048_576, {
      description:
        'Disk that stays free of the catalogue (at most a fifth of it): templates that do not fit are left out, and said so',
      default: 10_240,
    }),
    maxBuilds: integer(1, 64, {
      description:
        'Template builds that work at a time; four times as many may wait for a ready command beside them',
      default: 2,
    }),
    buildTimeoutMinutes: integer(1, 1440, {
      description: 'A template build that takes longer is ended',
      default: 60,
    }),
    buildCacheDays: integer(0, 3650, {
      description: 'Layers and images of builds that were not used for so long are removed',
      default: 14,
    }),
    buildCacheGB: integer(0, 1_048_576, {
      description: 'Layers of builds, and images, that are kept at most; those in use stay in any case',
      default: 20,
    }),
    extraCaCertificates: list('^/', {
      description:
        'PEM files that sandboxes trust besides the public ones. Default: /usr/local/share/ca-certificates/*.crt',
      expects: 'absolute paths separated by commas',
    }),
    runscSha512: text('^$|^[0-9a-f]{128}$', {
      description:
        'sha512 of a runsc binary that you have checked: one on PATH, or the official release. Without it runsc is built with Go',
      expects: '128 hexadecimal characters as `sha512sum` prints them, or nothing',
      default: '',
    }),
    cache: text('^/', {
      description: 'Folder shared by all instances of this machine for runsc, envd and images',
      expects: 'an absolute path',
      default: '/var/cache/sandlot',
    }),
  },
  { additionalProperties: false },
)

export type Settings = Type.Static<typeof settingsSchema>
export type SettingName = keyof Settings

interface SettingSchema {
  type?: string
  description: string
  expects: string
  default?: unknown
  isSecret?: boolean
}

export const settingSchemas = settingsSchema.properties as unknown as Record<SettingName, SettingSchema>
export const settingNames = Object.keys(settingSchemas) as SettingName[]

/** `poolMemoryFloorMB` → `pool-memory-floor-mb`. */
const toKebab = (name: string): string => name.replace(/([a-z0-9])([A-Z])/g, '$1-$2').toLowerCase()

export const flagOf = (name: SettingName): string => `--${toKebab(name)}`
export const variableOf = (name: SettingName): string =>
  `SANDLOT_${toKebab(name).replaceAll('-', '_').toUpperCase()}`
