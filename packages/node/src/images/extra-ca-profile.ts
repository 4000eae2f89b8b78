const BUNDLE = '/etc/ssl/certs/ca-certificates.crt'
/** Variables by which Node, pip and requests, which bring their own lists of authorities, are told of others. */
const VARIABLES = ['NODE_EXTRA_CA_CERTS', 'SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'PIP_CERT']

/**
 * Read by login shells of images with more authorities than Debian's. A variable that the user has set is kept. envd sets one
 * for Node to a file of its own (guest/envd/internal/trust), whose content is in the bundle too.
 */
export const EXTRA_CA_PROFILE = `[ "\${NODE_EXTRA_CA_CERTS-}" != /etc/sandlot/egress-ca.pem ] || unset NODE_EXTRA_CA_CERTS
${VARIABLES.map((name) => `export ${name}="\${${name}:-${BUNDLE}}"\n`).join('')}`
