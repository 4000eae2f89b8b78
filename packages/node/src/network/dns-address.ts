/**
 * Address that sandboxes send DNS queries to. The address is never routed: the firewall rewrites it to that of the host's
 * resolver.
 */
export const DNS_ADDRESS = '169.254.53.53'
