/** State of a file in one word. */
export type GitStatusLabel =
  | 'conflict'
  | 'renamed'
  | 'copied'
  | 'deleted'
  | 'added'
  | 'modified'
  | 'typechange'
  | 'untracked'
  | 'unknown'

export interface GitFileStatus {
  /** Path from the root of the repository. */
  name: string
  status: GitStatusLabel
  /** First column of `git status --porcelain`. */
  indexStatus: string
  /** Second column of `git status --porcelain`. */
  workingTreeStatus: string
  /** Whether the index differs from HEAD. */
  staged: boolean
  /** Previous path of a renamed file, or source of a copied file. */
  renamedFrom?: string
}

export interface GitStatus {
  /** Undefined when HEAD is detached. */
  currentBranch?: string
  upstream?: string
  /** Commits that the upstream lacks. */
  ahead: number
  /** Commits that only the upstream has. */
  behind: number
  detached: boolean
  fileStatus: GitFileStatus[]
  isClean: boolean
  hasChanges: boolean
  hasStaged: boolean
  hasUntracked: boolean
  hasConflicts: boolean
  totalCount: number
  stagedCount: number
  unstagedCount: number
  untrackedCount: number
  conflictCount: number
}

export interface GitBranches {
  branches: string[]
  currentBranch?: string
}

/** In order of precedence: the first of these letters that is in one of the two columns decides. */
const labels: [string, GitStatusLabel][] = [
  ['R', 'renamed'],
  ['C', 'copied'],
  ['D', 'deleted'],
  ['A', 'added'],
  ['M', 'modified'],
  ['T', 'typechange'],
  ['?', 'untracked'],
]
/** `AA` and `DD` are unmerged too, but the official client says `added` and `deleted`, and programs match on that. */
const isConflict = (columns: string): boolean => columns.includes('U')

/** Parses the output of `git status --porcelain=1 -b`. */
export function parseStatus(output: string): GitStatus {
  const lines = output.split('\n').filter((line) => line.trim())
  const head = lines[0]?.startsWith('## ') ? lines[0].slice(3) : undefined
  const fileStatus = lines.filter((line) => !line.startsWith('## ')).map(parseFile)
  const count = (matches: (file: GitFileStatus) => boolean) => fileStatus.filter(matches).length
  const totalCount = fileStatus.length
  const stagedCount = count(({ staged }) => staged)
  const untrackedCount = count(({ status }) => status === 'untracked')
  const conflictCount = count(({ status }) => status === 'conflict')
  return {
    ...parseHead(head),
    fileStatus,
    isClean: totalCount === 0,
    hasChanges: totalCount > 0,
    hasStaged: stagedCount > 0,
    hasUntracked: untrackedCount > 0,
    hasConflicts: conflictCount > 0,
    totalCount,
    stagedCount,
    unstagedCount: totalCount - stagedCount,
    untrackedCount,
    conflictCount,
  }
}

type Head = Pick<GitStatus, 'currentBranch' | 'upstream' | 'ahead' | 'behind' | 'detached'>

/** Parses the first line: `main...origin/main [ahead 1, behind 2]`, `HEAD (no branch)`, `No commits yet on main`. */
function parseHead(head: string | undefined): Head {
  if (head === undefined) return { ahead: 0, behind: 0, detached: false }
  if (head.startsWith('HEAD (')) return { ahead: 0, behind: 0, detached: true }
  const [, names = '', counts = ''] = /^(.*?)(?: \[(.*)\])?$/.exec(head) ?? []
  const number = (word: string) => Number(new RegExp(`${word} (\\d+)`).exec(counts)?.[1] ?? 0)
  const [branch, upstream] = names.replace(/^(No commits yet|Initial commit) on /, '').split('...')
  return {
    ...(branch && { currentBranch: branch }),
    ...(upstream && { upstream }),
    ahead: number('ahead'),
    behind: number('behind'),
    detached: false,
  }
}

function parseFile(line: string): GitFileStatus {
  const columns = line.slice(0, 2)
  const path = line.slice(3)
  const arrow = path.indexOf(' -> ')
  const label = labels.find(([letter]) => columns.includes(letter))?.[1] ?? 'unknown'
  return {
    name: arrow < 0 ? path : path.slice(arrow + 4),
    status: isConflict(columns) ? 'conflict' : label,
    indexStatus: columns[0]!,
    workingTreeStatus: columns[1]!,
    staged: columns[0] !== ' ' && columns[0] !== '?',
    ...(arrow >= 0 && { renamedFrom: path.slice(0, arrow) }),
  }
}

/** Parses the output of `git branch --format='%(refname:short)\t%(HEAD)'`. */
export function parseBranches(output: string): GitBranches {
  const rows = output.split('\n').filter((line) => line.trim())
  const branches = rows.map((row) => row.split('\t')[0]!.trim())
  const current = rows.findIndex((row) => row.split('\t')[1]?.trim() === '*')
  return { branches, ...(current >= 0 && { currentBranch: branches[current]! }) }
}
