import type { Installation } from '../matrix/install.ts'

/** A third-party package that works in E2B's sandboxes, and a program beside this file that uses it as the package's documentation shows. */
export interface ThirdParty extends Pick<Installation, 'registry'> {
  package: string
  version: string
  /** Packages that the documentation tells users to install, where that is not the package alone. */
  packages?: string[]
  /** The oldest Python that the package supports, where that is newer than 3.11. */
  python?: string
  program: string
  /** The templates that the program starts from. */
  templates: string
  /** Behaviour of the package that readers of the table may not expect. */
  note?: string
}

/** A new version is one word here. */
export const programs: ThirdParty[] = [
  {
    registry: 'npm',
    package: '@computesdk/e2b',
    version: '1.7.52',
    program: 'with-computesdk-e2b.mjs',
    templates: 'base',
  },
  {
    registry: 'npm',
    package: '@mastra/e2b',
    version: '0.8.0',
    program: 'with-mastra-e2b.mjs',
    templates: 'its own from base: s3fs, fuse',
    note: 'the package itself adds the output of a command that fails twice',
  },
  {
    registry: 'PyPI',
    package: 'langchain-e2b',
    version: '0.0.6',
    program: 'with-langchain-e2b.py',
    templates: 'base',
  },
  {
    registry: 'PyPI',
    package: 'openai-agents',
    version: '0.24.0',
    packages: ['openai-agents[e2b]==0.24.0'],
    program: 'with-openai-agents.py',
    templates: 'base',
  },
  {
    registry: 'PyPI',
    package: 'e2b-haystack',
    version: '2.0.0',
    program: 'with-e2b-haystack.py',
    templates: 'base',
  },
  {
    registry: 'PyPI',
    package: 'inspect-sandboxes',
    version: '0.6.1',
    python: '3.12',
    program: 'with-inspect-sandboxes.py',
    templates: 'base, one of a Dockerfile',
    note: "Inspect's check without the seven tests that the package expects to fail at E2B's own service; services of Compose need Docker inside and are not tried",
  },
  {
    registry: 'PyPI',
    package: 'harbor',
    version: '0.25.0',
    packages: ['harbor[e2b]==0.25.0'],
    python: '3.12',
    program: 'with-harbor.py',
    templates: 'one of a Dockerfile',
    note: "tasks of terminal-bench themselves come from the internet and need an image of a registry; this one is the program's own",
  },
  {
    registry: 'PyPI',
    package: 'smolagents',
    version: '1.26.0',
    packages: ['smolagents[e2b]==1.26.0'],
    program: 'with-smolagents.py',
    templates: 'code-interpreter-v1',
  },
  {
    registry: 'PyPI',
    package: 'agno',
    version: '3.1.10',
    packages: ['agno==3.1.10', 'e2b-code-interpreter==2.11.5'],
    program: 'with-agno.py',
    templates: 'code-interpreter-v1',
    note: '`download_chart_data`, `watch_directory` and `list_running_sandboxes` call what the clients of E2B do not have: they fail at any service',
  },
  {
    registry: 'PyPI',
    package: 'crewai-tools',
    version: '1.15.30',
    packages: ['crewai-tools[e2b]==1.15.30'],
    program: 'with-crewai-tools.py',
    templates: 'base, code-interpreter-v1',
    note: '`append` to a file that is there hands the client a bytearray, which e2b 2.20 refuses: it fails at any service',
  },
  {
    registry: 'PyPI',
    package: 'e2b-adk',
    version: '0.1.2',
    program: 'with-e2b-adk.py',
    templates: 'code-interpreter-v1',
  },
  {
    registry: 'PyPI',
    package: 'e2b-mcp-server',
    version: '0.1.1',
    program: 'with-e2b-mcp-server.py',
    templates: 'code-interpreter-v1',
    note: 'the package installs no command `e2b-mcp-server`; its `main()` is called',
  },
  {
    registry: 'npm',
    package: '@anthropic-ai/claude-code',
    version: '2.1.331',
    program: 'with-claude-code.mjs',
    templates: 'code-interpreter-v1',
    note: "as a client of Sandlot's own MCP server (docs/mcp.md)",
  },
]

/** Programs that `npm test` tries: small, installed in seconds, each with another version of e2b. */
export const sample = programs.filter(({ package: name }) =>
  ['@computesdk/e2b', 'openai-agents'].includes(name),
)
