/** Templates of the catalogue except `base`, in build order, the most requested first. */
export const catalogNames = [
  'code-interpreter-v1',
  'claude',
  'codex',
  'opencode',
  'amp',
  'mcp-gateway',
  'docker',
  'desktop',
  'openclaw',
] as const

/** Description of each template in the list of templates. */
export const templateDescriptions: Record<(typeof catalogNames)[number] | 'base', string> = {
  base: 'Debian 12 with Python, Node, git, build tools and sudo',
  'code-interpreter-v1': 'Runs code in Jupyter kernels that keep their state, for the code interpreter SDKs',
  claude: 'Claude Code, the agent of Anthropic, on the base',
  codex: 'Codex, the agent of OpenAI, on the base',
  opencode: 'OpenCode, an agent for many providers, on the base',
  amp: 'Amp, the agent of Sourcegraph, on the base',
  'mcp-gateway': 'MCP servers behind one endpoint, for `Sandbox.create({ mcp })`, on the base',
  docker: 'Docker, its daemon already running, and podman, on the base',
  desktop: 'A Linux desktop (XFCE) that programs see and drive, for the desktop SDKs',
  openclaw: 'OpenClaw, an assistant with a gateway for chats, on the base',
}
