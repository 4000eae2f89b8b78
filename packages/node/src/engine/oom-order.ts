import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { ENVD_PATH } from './oci-spec.ts'

/**
 * Score of all processes that runsc starts, so that at the memory limit Linux kills the stub of a guest's process instead
 * of the guest's kernel.
 */
export const GUEST_OOM_SCORE_ADJ = 1000
/** Score of envd: between that of the guest's kernel and the 1000 of all other guest processes. */
const ENVD_OOM_SCORE_ADJ = 500
/**
 * Score of a guest's kernel. Not -1000: when files in memory use all memory, a killed kernel is better than a machine
 * that hangs.
 */
const SPARED_OOM_SCORE_ADJ = -900
const CAP_SYS_RESOURCE = 24n

/**
 * Whether this server may set scores below 0. With score 0, the kernel of a guest that has used all memory, e.g. by
 * forks, would rank above every stub: it has the whole limit plus its own 70 MB.
 */
export function canSpareKernels(status = readFileSync('/proc/self/status', 'utf8')): boolean {
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? '0'
  return ((BigInt(`0x${effective}`) >> CAP_SYS_RESOURCE) & 1n) === 1n
}

/** Cached score of kernels, because every restore needs the score and it never changes. */
let kernelScore: number | undefined

/** @param pids sentry and gofer */
export async function spareKernel(pids: readonly number[]): Promise<void> {
  kernelScore ??= canSpareKernels() ? SPARED_OOM_SCORE_ADJ : 0
  for (const pid of pids) await writeFile(`/proc/${pid}/oom_score_adj`, String(kernelScore))
}

/**
 * Lowers the score of envd, which is the largest of the guest's processes during a fork bomb and would be killed first.
 * Stubs of envd are recognized by the binary that they have mapped, because after a restore all stubs are new, in any
 * order.
 *
 * @param pids the machine's processes on this host, after envd has answered
 */
export async function protectEnvd(pids: readonly number[]): Promise<void> {
  await Promise.all(
    pids.map((pid) =>
      protectIfEnvd(pid).catch((error: NodeJS.ErrnoException) => {
        if (!ENDED.includes(error.code ?? '')) throw error
      }),
    ),
  )
}

async function protectIfEnvd(pid: number): Promise<void> {
  const score = Number(await readFile(`/proc/${pid}/oom_score_adj`, 'utf8'))
  if (score <= 0) return
  const maps = await readFile(`/proc/${pid}/maps`, 'utf8')
  if (maps.split('\n').some((line) => line.endsWith(ENVD_PATH)))
    await writeFile(`/proc/${pid}/oom_score_adj`, String(ENVD_OOM_SCORE_ADJ))
}

/** Errors of /proc for a process that has exited. */
const ENDED = ['ENOENT', 'ESRCH']
