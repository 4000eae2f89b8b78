import { callApi, type Sandbox } from './official.ts'

interface TreeNode {
  checkpointID: string
  isHead: boolean
}

export const post = (path: string, body: object): Promise<Response> =>
  callApi(path, {
    method: 'POST',
    body: JSON.stringify(body),
    headers: { 'Content-Type': 'application/json' },
  })

/** Ends the frozen machine of a paused sandbox, so that the next resume comes from disk. */
export async function cool(sandboxId: string): Promise<void> {
  const { checkpoints } = (await (await callApi(`/sandboxes/${sandboxId}/tree`)).json()) as {
    checkpoints: TreeNode[]
  }
  const head = checkpoints.find(({ isHead }) => isHead)
  const { status } = await post(`/sandboxes/${sandboxId}/rollback`, { checkpointID: head?.checkpointID })
  if (status !== 200) throw new Error(`the rollback to the head of ${sandboxId} answered ${status}`)
}

export const bootIdOf = async (sandbox: Sandbox): Promise<string> =>
  (await sandbox.commands.run('cat /proc/sys/kernel/random/boot_id')).stdout.trim()
