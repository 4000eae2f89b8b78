import Type from 'typebox'

const address = '^(\\d{1,3}\\.){3}\\d{1,3}$'

/** Description of a setting for users; `expects` completes the sentence "must be …". */
interface SettingDetails {
  description: string
  expects: string
  default?: unknown
  /** A secret is never printed and has no flag, because all users of a machine can see command lines. */
  isSecret?: boolean
}

const LISTEN = '(\\[[0-9a-f:.]+\\]|[^\\s:\\[\\]]+):\\d{1,5}'

/** 32 bytes, as 64 hexadecimal digits or in Base64. */
const SECRETS_KEY = '([0-9a-fA-F]{64}|[A-Za-z0-9+/_-]{43}=?)'

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
        'Second address, only for requests to sandboxes, which are then addressed by a header: for clients that cannot resolve names below the domain. `env` then sets E2B_SANDBOX_URL',
      expects: 'host:port with another port than listen, for example 0.0.0.0:3001, or nothing',
      default: '',
    }),
    domain: text('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\\d{1,5})?$', {
      description: 'Domain of the host names of sandboxes, with its port. Default: sandlot.localhost:<port>',
      expects: 'a lower-case domain name with an optional port, for example sandboxes.example.com',
    }),
    adminEmail: text('^[^\\s@]+@[^\\s@]+$', {
      description:
        'E-mail address of the administrator, as the CLI shows it. Default: admin@<domain without port>',
      expects: 'an e-mail address, for example me@example.com',
    }),
    requireSecure: Type.Boolean({
      description:
        'Refuse to create sandboxes without an access token, as clients 1.x do: anyone who knows the id of such a sandbox can use it',
      expects: 'true or false',
      default: false,
    }),
    maxConnections: integer(16, 1_000_000, {
      description: 'Limit of concurrent connections to the API and to sandboxes; more are refused',
      default: 8192,
    }),
    maxConnectionsPerAddress: integer(0, 1_000_000, {
      description:
        'Limit of these connections from one address (IPv6: one /64); 0 for no limit, as needed behind a proxy on another machine. Connections from this machine are not limited',
      default: 1000,
    }),
    role: Type.Union([Type.Literal('all')], {
      description: 'Role of this process',
      expects: 'all (other roles come later)',
      default: 'all',
    }),
    logLevel: Type.Union(
      (['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const).map((level) => Type.Literal(level)),
      {
        description: 'Least severe level of log lines that are written',
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
      description: 'IPv4 name server for queries of sandboxes. Default: that of the machine',
      expects: 'an IPv4 address, for example 1.1.1.1',
      default: '',
    }),
    allowedRanges: list(`${address.slice(0, -1)}(/\\d{1,2})?$`, {
      description:
        'IPv4 ranges that sandboxes may reach although they are private or a network of this machine',
      expects: 'IPv4 ranges separated by commas, for example 10.0.5.0/24',
      default: [],
    }),
    packageRegistries: list('^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$', {
      description:
        'Registries that sandboxes may reach even when they resolve to addresses for documentation (RFC 5737), as in labs without internet',
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
        'Limit of concurrent outgoing connections of one sandbox, UDP flows of the last half minute included; more are refused',
      default: 2500,
    }),
    recordEgress: Type.Boolean({
      description:
        'Record where all sandboxes connect to (`e2b sandbox egress`), not only those with network rules. Connections without rules stay in the kernel: their names are not seen',
      expects: 'true or false',
      default: false,
    }),
    allowedRegistries: list('^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:\\d{1,5})?$', {
      description:
        'Registries that template builds may use although they are at private addresses or on this machine; plain HTTP is only used for these',
      expects:
        'hosts separated by commas, with a port unless it is 443 or 80, for example localhost:5000,registry.lan',
      default: [],
    }),
    poolMax: integer(0, 1000, {
      description: 'Largest number of warm sandboxes that are kept ready; 0 keeps none',
      default: 16,
    }),
    poolMin: integer(0, 1000, {
      description: 'Number of warm sandboxes that are kept ready even when idle. Default: 4, at most poolMax',
    }),
    poolMemoryFloorMB: integer(0, 1_048_576, {
      description: 'The warm pool stops filling when less memory than this is available',
      default: 1024,
    }),
    diskFloorMB: integer(0, 1_048_576, {
      description:
        'With less free disk space than this (at most 5 % of the disk) nothing starts, and sandboxes that write are frozen until there is room',
      default: 1024,
    }),
    hotPauseSeconds: integer(0, 86_400, {
      description:
        'How long a paused sandbox is also kept frozen in memory, so that a resume takes about a millisecond',
      default: 60,
    }),
    unpackedCheckpointsMB: integer(0, 1_048_576, {
      description:
        'Size of checkpoints that are kept unpacked beside their packed copies, so that a cold resume reads plain files',
      default: 10_240,
    }),
    checkpointBucket: text('^$|^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$', {
      description:
        "S3 bucket that checkpoints are copied to. Credentials: the AWS SDK's environment variables and files",
      expects: 'the name of a bucket, or nothing',
      default: '',
    }),
    checkpointEndpoint: text('^$|^https?://', {
      description: 'URL of an S3-compatible service. Default: Amazon S3',
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
        'Secret that seals all objects in the bucket; other machines with this secret can take over paused sandboxes (`sandlot adopt`). Without it a key of this home is used, `<home>/bucket.key`',
      expects: 'at least 32 characters, for example the output of `openssl rand -hex 32`, or nothing',
      default: '',
      isSecret: true,
    }),
    secretsKey: text(`^$|^${SECRETS_KEY}(,${SECRETS_KEY})?$`, {
      description:
        'Key that the secrets of teams are encrypted with in the database. Without it a key of this home is used, `<home>/secrets.key`. Two keys while one is replaced, the new one first (`sandlot secrets rotate-key`)',
      expects:
        '32 bytes in hexadecimal or Base64, for example the output of `openssl rand -hex 32`; two such keys separated by a comma; or nothing',
      default: '',
      isSecret: true,
    }),
    packedCacheMB: integer(0, 1_048_576, {
      description:
        'Size of packed checkpoints that are kept on this machine although the bucket has them; 0 keeps all',
      default: 0,
    }),
    volumesDir: text('^$|^/', {
      description:
        'Folder of all volumes, also one on a file system that several machines share. Default: <home>/volumes',
      expects: 'an absolute path, or nothing',
      default: '',
    }),
    volumeKind: Type.Union(
      (['auto', 'image', 'folder'] as const).map((kind) => Type.Literal(kind)),
      {
        description:
          'How new volumes are kept: `image`, a file with an ext4 file system, which limits their size; `folder`, without a limit, as machines that share volumesDir need; `auto`, a folder on a network file system, else an image',
        expects: 'auto, image or folder',
        default: 'auto',
      },
    ),
    volumeTrashHours: integer(0, 87_600, {
      description: 'How long a deleted volume can be restored',
      default: 24,
    }),
    unlistedGraceDays: integer(0, 3650, {
      description:
        'How long checkpoints and machines are kept that the database does not list, as it is empty, older or of another home (`sandlot doctor`); they are deleted only if the database is still the one that did not list them',
      default: 7,
    }),
    sandboxUsers: Type.Union(
      (['own', 'root'] as const).map((users) => Type.Literal(users)),
      {
        description:
          'Users of this machine that the kernels of sandboxes run as: `own`, a different one for each; `root`, which isolates them less, as volumes need on a file system that cannot map owners (NFS). For sandboxes that start or resume later',
        expects: 'own or root',
        default: 'own',
      },
    ),
    slots: integer(1, 16_000, {
      description: 'Largest number of sandboxes at a time, including warm ones',
      default: 256,
    }),
    cpuCount: integer(1, 64, { description: 'CPUs of a sandbox of the base template', default: 2 }),
    memoryMB: integer(128, 1_048_576, {
      description: 'Memory of a sandbox of the base template',
      default: 1024,
    }),
    diskSizeMB: integer(512, 1_048_576, {
      description: 'Disk quota of a sandbox of the base template',
      default: 10_240,
    }),
    catalog: list('^[a-z0-9-]+$', {
      description:
        'Templates of the catalogue that are built in the background after a start: names, all, or none',
      expects: 'names of templates separated by commas, for example claude,codex; or all, or none',
      default: ['all'],
    }),
    catalogFloorMB: integer(0, 1_048_576, {
      description:
        'Disk space that the catalogue leaves free (at most a fifth of the disk): templates that do not fit are left out, which is logged',
      default: 10_240,
    }),
    maxBuilds: integer(1, 64, {
      description:
        'Number of template builds that work at a time; beside them, four times as many may wait for a ready command',
      default: 2,
    }),
    buildTimeoutMinutes: integer(1, 1440, {
      description: 'A template build that takes longer is cancelled',
      default: 60,
    }),
    buildCacheDays: integer(0, 3650, {
      description: 'Layers and images of builds are removed after this time without use',
      default: 14,
    }),
    buildCacheGB: integer(0, 1_048_576, {
      description: 'Limit of the size of cached layers and images of builds; those in use are always kept',
      default: 20,
    }),
    extraCaCertificates: list('^/', {
      description:
        'PEM files of certificate authorities that sandboxes trust besides the public ones. Default: /usr/local/share/ca-certificates/*.crt',
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
