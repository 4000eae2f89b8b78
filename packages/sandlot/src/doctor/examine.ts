import { examine as runChecks } from '@sandlot/protocol/doctor'
import type { Config } from '../config.ts'
import { bucketTransport, homeAccess, listenAddress, userNamespaces } from './access-checks.ts'
import { checkpoints } from './checkpoint-check.ts'
import type { Check, Finding } from './finding.ts'
import {
  architecture,
  cgroups,
  clock,
  kernel,
  memory,
  memoryLimit,
  networkNamespaces,
  rootUser,
  sandboxUsers,
} from './machine-checks.ts'
import { coreDumps, ksm, mitigations, smt, swap } from './memory-leak-checks.ts'
import {
  diskSpace,
  firewall,
  ipForward,
  linkFilters,
  nameResolution,
  nftables,
  port,
} from './network-and-disk-checks.ts'
import { debianTools, envd, erofs, go, node, runsc } from './program-checks.ts'
import { connectionTable, diskShare, swapLimit } from './share-checks.ts'
import { store } from './store-check.ts'
import { unlistedData } from './unlisted-check.ts'
import { volumes } from './volume-checks.ts'

const CHECK_TIMEOUT_MS = 15_000

const CHECKS: Record<string, Check> = {
  kernel,
  architecture,
  root: rootUser,
  'sandbox users': sandboxUsers,
  cgroups,
  'network namespaces': networkNamespaces,
  nftables,
  firewall,
  'link filters': linkFilters,
  'IP forwarding': ipForward,
  'connection table': ({ settings }) => connectionTable(settings),
  memory,
  'memory limit': memoryLimit,
  'swap limit': () => swapLimit(),
  'disk share': () => diskShare(),
  disk: diskSpace,
  volumes,
  port,
  'name resolution': nameResolution,
  clock,
  node,
  go,
  tools: debianTools,
  erofs,
  runsc,
  envd,
  store: ({ settings }) => store(settings),
  checkpoints,
  'unlisted data': ({ settings }) => unlistedData(settings),
  'user namespaces': userNamespaces,
  'home folder': homeAccess,
  'listen address': listenAddress,
  bucket: bucketTransport,
  'CPU faults': mitigations,
  'CPU threads': smt,
  swap,
  'merged pages': ksm,
  'core dumps': coreDumps,
}

/** Runs all checks of the machine concurrently. */
export const examine = (config: Config): Promise<Finding[]> => runChecks(CHECKS, config, CHECK_TIMEOUT_MS)
