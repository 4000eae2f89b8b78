/**
 * Terminal control sequences (ECMA-48): CSI with its parameters, OSC up to BEL or ST, and two- or
 * three-byte escapes. Node has this as `util.stripVTControlCharacters`; browsers do not.
 */
const CONTROL_SEQUENCE = new RegExp(
  [
    '(?:\\u001b\\[|\\u009b)[0-?]*[ -/]*[@-~]',
    '(?:\\u001b\\]|\\u009d)[^\\u0007\\u001b\\u009c]*(?:\\u0007|\\u001b\\\\|\\u009c)?',
    '\\u001b[ -/]*[0-~]',
  ].join('|'),
  'g',
)

/** The text without colours, links, and cursor movements. */
export const stripVTControlCharacters = (text: string): string => text.replace(CONTROL_SEQUENCE, '')
