/**
 * Shell that ends what the installation of openssh-server made: keys in an image would be those of every sandbox, and
 * known to all of them. Debian's `service ssh start` reads /etc/default/ssh as shell, so it makes keys where none are;
 * Fedora and Alpine do so by themselves.
 */
export const REMOVE_SSH_HOST_KEYS = `rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
if [ -f /etc/default/ssh ]; then
  printf '%s\\n' '' '# Keys are made when the server is first started: an image has none.' \\
    'ls /etc/ssh/ssh_host_*_key >/dev/null 2>&1 || ssh-keygen -A >/dev/null' >> /etc/default/ssh
fi`
