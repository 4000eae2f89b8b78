/** Address that sandboxes send DNS queries to. It is never routed: the firewall rewrites it to the host's own resolver. */
export const DNS_ADDRESS = '169.254.53.53'
