/**
 * Script that removes the host keys which the installation of openssh-server has created, because all sandboxes of an
 * image would share them. Missing keys are created when the server starts: on Debian by /etc/default/ssh, which `service
 * ssh start` runs as a script, on Fedora and Alpine without further changes.
 */
export const REMOVE_SSH_HOST_KEYS = `rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
if [ -f /etc/default/ssh ]; then
  printf '%s\\n' '' '# Keys are made when the server is first started: an image has none.' \\
    'ls /etc/ssh/ssh_host_*_key >/dev/null 2>&1 || ssh-keygen -A >/dev/null' >> /etc/default/ssh
fi`
