import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * `systemctl` for machines that systemd did not boot, a script for any POSIX shell. It stands before a real one in the PATH,
 * because packages bring that along, which refuses everything here; where systemd runs, the script calls the real one.
 */
export const SYSTEMCTL = readFileSync(join(import.meta.dirname, 'systemctl.sh'), 'utf8')
export const SYSTEMCTL_PATH = '/usr/local/bin/systemctl'

/**
 * Starts the services that the steps of a template have enabled, as the boot of a machine does.
 * @param enabled services to enable first
 */
export const startEnabledServices = (enabled: readonly string[]): string =>
  [
    `[ -x ${SYSTEMCTL_PATH} ] || exit 0`,
    ...enabled.map((service) => `${SYSTEMCTL_PATH} --quiet enable ${service}`),
    `[ ! -s /etc/systemctl.enabled ] || ${SYSTEMCTL_PATH} boot`,
  ].join('\n')
