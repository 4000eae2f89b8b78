/**
 * Script that removes the keys which the installation of openssh-server has made: all sandboxes of an image would share
 * them. Debian's `service ssh start` runs /etc/default/ssh as a script, which then makes missing keys; Fedora and Alpine make
 * them on their own.
 */
export const REMOVE_SSH_HOST_KEYS = `rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
if [ -f /etc/default/ssh ]; then
  printf '%s\\n' '' '# Keys are made when the server is first started: an image has none.' \\
    'ls /etc/ssh/ssh_host_*_key >/dev/null 2>&1 || ssh-keygen -A >/dev/null' >> /etc/default/ssh
fi`
