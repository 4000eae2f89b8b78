import Type from 'typebox'
import { OneOf } from './fields.ts'
import type { Operation } from './operation.ts'

const CatalogEstimate = Type.Object(
  {
    seconds: Type.Number(),
    megabytes: Type.Number({ description: 'MB of disk' }),
  },
  { title: 'CatalogEstimate', description: 'Time and disk that a build takes, judged by earlier builds' },
)
const CatalogEntry = Type.Object(
  {
    name: Type.String(),
    state: OneOf(['waiting', 'building', 'ready', 'failed', 'left-out', 'removed']),
    sinceMs: Type.Optional(
      Type.Number({ description: 'State building only: its start, in Unix milliseconds' }),
    ),
    step: Type.Optional(Type.String({ description: 'State building only: the current step' })),
    reason: Type.Optional(Type.String({ description: 'States failed and left-out only: why' })),
    estimate: Type.Optional(CatalogEstimate),
  },
  { title: 'CatalogEntry' },
)
const CatalogReport = Type.Object(
  {
    templates: Type.Array(CatalogEntry),
    readyCount: Type.Integer(),
    left: CatalogEstimate,
  },
  { title: 'CatalogReport' },
)
const CatalogRemoval = Type.Object(
  {
    wasThere: Type.Boolean(),
    freedBytes: Type.Integer(),
    neededBy: Type.Integer({
      description: 'Snapshots and templates that were made from it and still need its files',
    }),
  },
  { title: 'CatalogRemoval' },
)
const CatalogName = Type.Object({
  name: Type.String({ maxLength: 128, description: 'Name of a template that comes with this server' }),
})

export const getCatalog = {
  operationId: 'getCatalog',
  tags: ['catalog'],
  summary: 'List the templates that come with this server, and which of them are still to be built',
  response: { 200: CatalogReport },
  errors: [],
} satisfies Operation

export const buildCatalogTemplate = {
  operationId: 'buildCatalogTemplate',
  tags: ['catalog'],
  summary: 'Build a template that comes with this server; administrators only',
  params: CatalogName,
  response: { 202: Type.Null() },
  errors: ['not_found', 'conflict', 'not_implemented'],
} satisfies Operation

export const removeCatalogTemplate = {
  operationId: 'removeCatalogTemplate',
  tags: ['catalog'],
  summary: 'Remove a template that comes with this server until it is built again; administrators only',
  params: CatalogName,
  response: { 200: CatalogRemoval },
  errors: ['not_found', 'conflict', 'not_implemented'],
} satisfies Operation
