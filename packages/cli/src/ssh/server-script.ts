import { createHash } from 'node:crypto'

/** Begins the only line that the script prints before the protocol of SSH: the host key, or `none` without a server. */
export const HOST_KEY_LINE = 'e2b-ssh-host-key '

/** Variables that a session sets itself. */
const OWN_VARIABLES = 'HOME|USER|LOGNAME|SHELL|PATH|PWD|OLDPWD|SHLVL|TERM|MAIL|_'

/**
 * A script for bash, run as root in a sandbox: serves one SSH connection over standard input and output. No port is opened,
 * and nothing keeps running. The host key is made at the first connection and belongs to this sandbox alone: forks and
 * sandboxes of a snapshot have other ids. Only `publicKey` can log in, as any user of the sandbox.
 * @param publicKey as in a `.pub` file, without a comment
 */
export function serverScript(sandboxId: string, publicKey: string): string {
  const folder = `/var/lib/e2b-ssh/${sandboxId}`
  const name = createHash('sha256').update(publicKey).digest('hex').slice(0, 16)
  return `export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
umask 022
sshd=$(command -v sshd) && command -v ssh-keygen >/dev/null || { echo '${HOST_KEY_LINE}none'; exit 0; }
dir=${folder}
if [ ! -s $dir/host_key ]; then
  mkdir -p /var/lib/e2b-ssh && new=$(mktemp -d /var/lib/e2b-ssh/new.XXXXXX) && chmod 755 $new || exit 1
  ssh-keygen -q -t ed25519 -N '' -C '' -f $new/host_key </dev/null || exit 1
  mv -T $new $dir 2>/dev/null || rm -rf $new
fi
printf '%s\\n' '${publicKey}' > $dir/client-${name} || exit 1
variables=
while IFS= read -r -d '' pair; do
  case $pair in *$'\\n'*) continue;; esac
  name=\${pair%%=*} value=\${pair#*=}
  case $name in ${OWN_VARIABLES}|''|*[!A-Za-z0-9_]*) continue;; esac
  value=\${value//\\\\/\\\\\\\\}
  variables+=" \\"$name=\${value//\\"/\\\\\\"}\\""
done < /proc/self/environ
(umask 077; printf '%s\\n' '${CONFIGURATION.join("' '")}' "HostKey $dir/host_key" \\
  "AuthorizedKeysFile $dir/client-${name}" \${variables:+"SetEnv$variables"} > $dir/config.$$)
mkdir -p /run/sshd
mv $dir/config.$$ $dir/config-${name}
read -r type key _ < $dir/host_key.pub
echo "${HOST_KEY_LINE}$type $key"
exec "$sshd" -i -e -f $dir/config-${name}`
}

const CONFIGURATION = [
  'AuthenticationMethods publickey',
  'PasswordAuthentication no',
  'ChallengeResponseAuthentication no',
  'PermitRootLogin prohibit-password',
  'UsePAM yes',
  'PidFile none',
  'LogLevel ERROR',
  'PrintMotd no',
  'UseDNS no',
  'X11Forwarding no',
  'MaxSessions 100',
  'AcceptEnv LANG LC_* COLORTERM',
  'Subsystem sftp internal-sftp',
  // ends the server of a client that was killed, or that a pause has cut off
  'ClientAliveInterval 30',
  'ClientAliveCountMax 4',
]
