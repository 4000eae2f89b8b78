import type { ClientRequest } from 'node:http'

/** A server may send interim answers (100, 102, 103) before its answer; Node does not limit their number. */
const MAX_INTERIM_ANSWERS = 20

/** Calls `fail` when a sandbox sends too many interim answers, or changes the protocol without a request to. */
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
    fail(new Error('the sandbox changed the protocol without a request to'))
  })
}
