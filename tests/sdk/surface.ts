import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import {
  type ClassDeclaration,
  type ClassMember,
  type ModuleItem,
  parse,
  type TsInterfaceDeclaration,
  type TsTypeLiteral,
} from '@swc/core'

const root = join(import.meta.dirname, '../..')
const tsc = join(root, 'node_modules/.bin/tsc')

/** A part of the official surface: an export, or a member of an exported class or interface. */
export interface SurfacePart {
  /** `Sandbox.create`, `Sandbox#kill`, `SandboxOpts`. */
  name: string
  /** Type expressions of the part, over the namespaces `official` and `ours`. */
  official: string
  ours: string
}

/** How a part differs: the part is missing, or its type cannot replace the other type. */
export type Difference =
  | 'missing'
  | 'cannot be used as the official one'
  | 'does not take what the official one takes'
  | 'does not know all its options'

/** Names of methods, by the folder of our SDK that their class is in. */
export type OwnMethods = Readonly<Record<string, readonly string[]>>

/**
 * Compares the declarations of both SDKs part by part with the TypeScript compiler. Private and protected members are
 * removed on both sides first, as they would make any two classes different; enumerations are compared by their values.
 *
 * @param ownMethods methods that only our classes have, by folder; they are removed before the comparison
 * @returns the differences by name of the part
 */
export async function surfaceDifferences(
  directory: string,
  ownMethods: OwnMethods,
): Promise<Map<string, Difference[]>> {
  await rm(directory, { recursive: true, force: true })
  await mkdir(join(directory, 'ours'), { recursive: true })
  const officialTypes = publicOnly(
    await readFile(join(root, 'node_modules/e2b-official/dist/index.d.ts'), 'utf8'),
  )
  await writeFile(join(directory, 'official.d.ts'), officialTypes)
  await emitOwnDeclarations(join(directory, 'ours'), ownMethods)
  const parts = await surfaceParts(officialTypes)
  const checks = parts.flatMap(
    (part) =>
      [
        {
          part,
          difference: 'cannot be used as the official one',
          code: assignable(part.ours, part.official),
        },
        {
          part,
          difference: 'does not take what the official one takes',
          code: assignable(part.official, part.ours),
        },
        {
          part,
          difference: 'does not know all its options',
          code: assignable(`Options<${part.official}>`, `Options<${part.ours}>`),
        },
      ] as const,
  )
  await writeFile(
    join(directory, 'checks.ts'),
    `${PREAMBLE.join('\n')}\n${checks.map(({ code }) => `${code}\n`).join('')}`,
  )

  const differences = new Map<string, Difference[]>()
  for (const { line, code } of await typeErrors(directory)) {
    const check = checks[line - PREAMBLE.length - 1]
    if (!check)
      throw new Error(`The comparison itself does not compile: TS${code} in line ${line} of checks.ts`)
    const { name } = check.part
    const difference = MISSING_CODES.includes(code) ? 'missing' : check.difference
    const known = differences.get(name) ?? []
    // A missing part cannot be used either, which needs no second difference.
    if (known.includes('missing') || known.includes(difference)) continue
    differences.set(name, difference === 'missing' ? [difference] : [...known, difference])
  }
  return differences
}

/**
 * Options are the keys of an object, or of the parameters of a function. They are compared separately, as an object with
 * an additional property is assignable all the same.
 */
const PREAMBLE = [
  "import * as official from './official.js'",
  "import * as ours from './ours/index.js'",
  'type Keys<T> = unknown extends T ? PropertyKey : T extends unknown ? keyof T : never',
  'type Options<T> = T extends (...args: infer Args) => unknown ? { [At in keyof Args]: Keys<Args[At]> } : Keys<T>',
  // bodies of a route's request and answers, without the wrappers of the type generator
  "type Json<T> = T extends { content: { 'application/json': infer Body } } ? Body : undefined",
  'type Given<T> = [T] extends [undefined] ? {} : NonNullable<T>',
  'type RouteBody<R> = R extends { requestBody?: infer B } ? Json<NonNullable<B>> : undefined',
  'type RouteQuery<R> = R extends { parameters: { query?: infer Q } } ? Given<Q> : {}',
  'type RoutePath<R> = R extends { parameters: { path?: infer P } } ? Given<P> : {}',
  'type RouteAnswer<R> = R extends { responses: infer S } ? { [Status in keyof S & (200 | 201 | 202 | 204)]: Json<S[Status]> } : never',
]

/** Compared sides of a route, each with its type in the preamble. */
const ROUTE_SIDES = { body: 'RouteBody', query: 'RouteQuery', path: 'RoutePath', answer: 'RouteAnswer' }
const METHODS = ['get', 'put', 'post', 'delete', 'patch']

/** Compiler errors for a missing exported member and a missing property. */
const MISSING_CODES = [2305, 2339, 2694, 2551, 2724]

const assignable = (from: string, to: string): string => `{ const check: ${to} = null! as ${from} }`

/** Everything that the official declarations export, with the members of classes and interfaces one by one. */
async function surfaceParts(declarations: string): Promise<SurfacePart[]> {
  const { body } = await parse(declarations, { syntax: 'typescript' })
  const declared = new Map<string, Declared>()
  for (const node of body) {
    if (node.type === 'ClassDeclaration') declared.set(node.identifier.value, node)
    else if (node.type === 'TsInterfaceDeclaration' || node.type === 'TsTypeAliasDeclaration')
      declared.set(node.id.value, node)
  }
  return exportedNames(declarations).flatMap(({ name, isType }) => partsOf(name, isType, declared))
}

type Declared = Extract<
  ModuleItem,
  { type: 'ClassDeclaration' | 'TsInterfaceDeclaration' | 'TsTypeAliasDeclaration' }
>

const exportedNames = (declarations: string): { name: string; isType: boolean }[] =>
  [...declarations.matchAll(/^export \{(.*)\};?$/gm)]
    .flatMap(([, list]) => list!.split(','))
    .map((item) => item.trim())
    .filter((item) => item !== '' && !item.includes(' as '))
    .map((item) => ({ name: item.replace(/^type /, ''), isType: item.startsWith('type ') }))

function partsOf(name: string, isType: boolean, declared: Map<string, Declared>): SurfacePart[] {
  const both = (part: string, type: (sdk: string) => string): SurfacePart => ({
    name: part,
    official: type('official'),
    ours: type('ours'),
  })
  const declaration = declared.get(name)
  if (!declaration) return [both(name, (sdk) => `typeof ${sdk}.${name}`)]
  if (declaration.type === 'TsTypeAliasDeclaration') return [both(name, (sdk) => `${sdk}.${name}`)]
  if (declaration.type === 'TsInterfaceDeclaration') {
    const members = declaration.body.body.flatMap((member) =>
      'key' in member ? (nameOf(member.key) ?? []) : [],
    )
    if (name === 'paths') return [both(name, (sdk) => `${sdk}.${name}`), ...routeParts(declaration)]
    // Options are also compared as a whole, as users write them in one object.
    return [
      both(name, (sdk) => `${sdk}.${name}`),
      ...unique(members).map((member) => both(`${name}#${member}`, (sdk) => `${sdk}.${name}['${member}']`)),
    ]
  }
  const members = inheritedMembers(declaration, declared)
  // Only a class that is exported as a value can be constructed.
  const constructors =
    !isType && members.some(({ type }) => type === 'Constructor')
      ? [both(`new ${name}`, (sdk) => `ConstructorParameters<typeof ${sdk}.${name}>`)]
      : []
  const named = members.flatMap((member) => {
    const key = 'key' in member ? nameOf(member.key) : undefined
    if (key === undefined || member.type === 'Constructor') return []
    const isStatic = 'isStatic' in member && member.isStatic
    return { part: isStatic ? `${name}.${key}` : `${name}#${key}`, key, isStatic }
  })
  const seen = new Map(named.map((member) => [member.part, member]))
  return [
    ...constructors,
    ...[...seen.values()].map(({ part, key, isStatic }) =>
      both(part, (sdk) =>
        `${isStatic ? 'typeof ' : ''}${sdk}.${name}['${key}']`.replace(
          /^typeof (.*)(\[.*)$/,
          '(typeof $1)$2',
        ),
      ),
    ),
  ]
}

/** The sides of every route of the REST API: `paths#/sandboxes post answer`. */
function routeParts({ body }: TsInterfaceDeclaration): SurfacePart[] {
  return body.body.flatMap((member) => {
    if (member.type !== 'TsPropertySignature') return []
    const path = nameOf(member.key)
    const route = member.typeAnnotation?.typeAnnotation
    if (path === undefined || route?.type !== 'TsTypeLiteral') return []
    return methodsOf(route).flatMap((method) =>
      Object.entries(ROUTE_SIDES).map(([side, type]): SurfacePart => {
        const of = (sdk: string) => `${type}<${sdk}.paths['${path}']['${method}']>`
        return { name: `paths#${path} ${method} ${side}`, official: of('official'), ours: of('ours') }
      }),
    )
  })
}

/** A method that a route does not have is declared as `never`. */
const methodsOf = ({ members }: TsTypeLiteral): string[] =>
  members.flatMap((member) => {
    if (member.type !== 'TsPropertySignature') return []
    const type = member.typeAnnotation?.typeAnnotation
    const isThere = type?.type !== 'TsKeywordType' || type.kind !== 'never'
    const name = nameOf(member.key)
    return isThere && name !== undefined && METHODS.includes(name) ? [name] : []
  })

/** Members of a class and of the classes it extends; those of `Error` are the language's. */
function inheritedMembers(declaration: ClassDeclaration, declared: Map<string, Declared>): ClassMember[] {
  const { superClass, body } = declaration
  const parent = superClass?.type === 'Identifier' ? declared.get(superClass.value) : undefined
  return parent?.type === 'ClassDeclaration' ? [...inheritedMembers(parent, declared), ...body] : body
}

const nameOf = (key: { type: string; value?: unknown }): string | undefined =>
  key.type === 'Identifier' || key.type === 'StringLiteral' ? String(key.value) : undefined

const unique = (names: string[]): string[] => [...new Set(names)]

/** Removes members that only the class itself may use, and writes enumerations as their values. */
function publicOnly(declarations: string): string {
  return declarations
    .replace(/^ +(private|protected) [^;{]*;$/gm, '')
    .replace(/^ +protected [^;]*\{[^}]*\}>?;$/gm, '')
    .replace(/^ +#private;$/gm, '')
    .replace(/^(?:export )?declare enum (\w+) \{([^}]*)\}/gm, (_, name: string, body: string) => {
      const members = [...body.matchAll(/(\w+) = ("[^"]*"|\d+)/g)].map(
        ([, key, value]) => `readonly ${key}: ${value}`,
      )
      return `declare const ${name}: { ${members.join('; ')} };\ndeclare type ${name} = (typeof ${name})[keyof typeof ${name}];`
    })
}

/** Emits our declarations, one method per line, without the methods that only ours have. */
async function emitOwnDeclarations(directory: string, ownMethods: OwnMethods): Promise<void> {
  const source = join(root, 'packages/sdk/src')
  const config = join(directory, 'tsconfig.json')
  const compilerOptions = {
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    outDir: directory,
    rootDir: source,
    types: ['node'],
  }
  const files = [join(source, 'index.ts')]
  await writeFile(
    config,
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, files, include: [] }),
  )
  await promisify(execFile)(tsc, ['-p', config], { timeout: 60_000 })
  await cp(join(source, 'gen'), join(directory, 'gen'), { recursive: true, force: false })
  for (const file of await readdir(directory, { recursive: true })) {
    if (!file.endsWith('.d.ts')) continue
    const path = join(directory, file)
    const own = ownMethods[dirname(file)] ?? []
    const ownMethod = new RegExp(`^ {4}(static )?(${own.join('|')})\\(.*;$`, 'gm')
    const text = await readFile(path, 'utf8')
    await writeFile(path, publicOnly(own.length > 0 ? text.replace(ownMethod, '') : text))
  }
}

async function typeErrors(directory: string): Promise<{ line: number; code: number }[]> {
  const config = join(directory, 'tsconfig.json')
  const compilerOptions = { noEmit: true, declaration: false, rootDir: directory, types: ['node'] }
  const files = [join(directory, 'checks.ts')]
  await writeFile(
    config,
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, files, include: [] }),
  )
  const options = { cwd: directory, timeout: 120_000, maxBuffer: 64 * 1024 * 1024 }
  const { stdout } = await promisify(execFile)(tsc, ['-p', config, '--pretty', 'false'], options).catch(
    (error) => error,
  )
  const errors = [...(stdout as string).matchAll(/^checks\.ts\((\d+),\d+\): error TS(\d+)/gm)]
  return errors.map(([, line, code]) => ({ line: Number(line), code: Number(code) }))
}
