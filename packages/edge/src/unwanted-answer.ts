import type { ClientRequest } from 'node:http'

/** A server may send a few (100, 102, 103) ahead of its answer; nothing bounds them but us. */
const MAX_INTERIM_ANSWERS = 20

/** Calls `fail` when a sandbox sends one interim answer after the other, or changes the protocol when nobody asked. */
export function onUnwantedAnswer(
  request: ClientRequest,
  { mayUpgrade }: { mayUpgrade: boolean },
  fail: (error: Error) => void,
): void {
  let interim = 0
  request.on('information', () => {
    if (++interim > MAX_INTERIM_ANSWERS) fail(new Error('the sandbox sends interim answers without end'))
  })
  if (mayUpgrade) return
  request.once('upgrade', (_answer, socket) => {
    socket.destroy()
    fail(new Error('the sandbox changed the protocol although nobody asked it to'))
  })
}
