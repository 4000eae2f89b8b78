import { type Kysely, sql } from 'kysely'
import type { Schema } from './schema.ts'

/** In order; the number of those that ran is kept in `schema_version`. Never edit one that was released. */
const migrations: string[][] = [
  [
    `create table plans (name text primary key, concurrent_sandboxes integer, creates_per_second real,
      max_length_hours real, requests_per_second real)`,
    `insert into plans (name) values ('unlimited')`,
    `create table teams (id text primary key, name text not null, slug text not null unique,
      plan text not null references plans(name), created_at bigint not null)`,
    `create table api_keys (id text primary key, team_id text not null references teams(id), name text not null,
      hash text not null unique, masked_prefix text not null, masked_suffix text not null,
      created_at bigint not null, last_used_at bigint)`,
    `create table templates (id text primary key, name text not null unique, created_at bigint not null,
      spawn_count integer not null default 0, last_spawned_at bigint)`,
    `create table sandboxes (id text primary key, team_id text not null, template_id text not null,
      template_name text not null, build_id text not null, execution_id text not null, machine_id text not null,
      state text not null, kill_reason text, started_at bigint not null, end_at bigint not null, ended_at bigint,
      envd_access_token text, settings text not null, metadata text not null, cpu_count integer not null,
      memory_mb integer not null, disk_size_mb integer not null)`,
    `create index sandboxes_alive on sandboxes (state) where state <> 'killed'`,
    `create index sandboxes_ended on sandboxes (ended_at) where state = 'killed'`,
    `create table sandbox_metrics (sandbox_id text not null, timestamp bigint not null, cpu_used_pct real not null,
      mem_used bigint not null, mem_cache bigint not null, disk_used bigint not null,
      primary key (sandbox_id, timestamp))`,
    `create index sandbox_metrics_by_time on sandbox_metrics (timestamp)`,
    `create table events (sequence integer primary key, id text not null, team_id text not null,
      sandbox_id text not null, type text not null, timestamp bigint not null, body text not null)`,
    `create index events_by_sandbox on events (sandbox_id, sequence)`,
    `create index events_by_team on events (team_id, sequence)`,
    `create index events_by_time on events (timestamp)`,
  ],
  [
    `create table server_secrets (name text primary key, value text not null)`,
    `create table login_links (hash text primary key, team_id text not null references teams(id),
      expires_at bigint not null)`,
    `create table sessions (id text primary key, kind text not null, team_id text not null references teams(id),
      name text not null, created_at bigint not null, expires_at bigint not null)`,
    `create index sessions_by_end on sessions (expires_at)`,
    `create table session_tokens (hash text primary key,
      session_id text not null references sessions(id) on delete cascade, expires_at bigint not null, used_at bigint)`,
    `create index session_tokens_by_session on session_tokens (session_id)`,
    `create index session_tokens_by_end on session_tokens (expires_at)`,
    `alter table api_keys add column session_id text references sessions(id) on delete cascade`,
    `create index api_keys_by_session on api_keys (session_id) where session_id is not null`,
  ],
  [
    // a template belongs to a team or to all; a snapshot without a name has none
    `create table templates_new (id text primary key, team_id text references teams(id), name text,
      is_public integer not null default 0, created_at bigint not null, updated_at bigint not null,
      spawn_count integer not null default 0, last_spawned_at bigint)`,
    `insert into templates_new select id, null, name, 1, created_at, created_at, spawn_count, last_spawned_at from templates`,
    `drop table templates`,
    `alter table templates_new rename to templates`,
    `create unique index templates_by_name on templates (coalesce(team_id, ''), name) where name is not null`,
    `create table checkpoints (id text primary key, team_id text not null, sandbox_id text not null, parent_id text,
      why text not null, state text not null, has_memory integer not null, size_bytes bigint not null,
      created_at bigint not null)`,
    `create index checkpoints_by_sandbox on checkpoints (sandbox_id, created_at)`,
    `create table builds (id text primary key, template_id text not null references templates(id) on delete cascade,
      checkpoint_id text not null, sandbox_id text not null, created_at bigint not null, cpu_count integer not null,
      memory_mb integer not null, disk_size_mb integer not null, default_user text not null, default_workdir text)`,
    `create index builds_by_template on builds (template_id)`,
    `create index builds_by_checkpoint on builds (checkpoint_id)`,
    `create table template_tags (template_id text not null references templates(id) on delete cascade,
      tag text not null, build_id text not null references builds(id) on delete cascade, created_at bigint not null,
      primary key (template_id, tag))`,
    `alter table sandboxes add column checkpoint_id text`,
    `alter table sandboxes add column paused_at bigint`,
    `alter table sandboxes add column default_user text not null default 'user'`,
    `alter table sandboxes add column default_workdir text`,
    `create index checkpoints_by_parent on checkpoints (parent_id)`,
    `create index checkpoints_by_team on checkpoints (team_id)`,
    `alter table plans add column storage_mb integer`,
  ],
  [
    // a build is made step by step now; those there were are snapshots, which are ready at once
    `alter table builds add column status text not null default 'ready'`,
    `alter table builds add column reason text`,
    `alter table builds add column updated_at bigint not null default 0`,
    `alter table builds add column finished_at bigint`,
    `alter table builds add column tags text not null default '[]'`,
    `alter table builds add column env_vars text not null default '{}'`,
    `update builds set updated_at = created_at, finished_at = created_at`,
    `create index builds_unfinished on builds (status) where status in ('waiting', 'building')`,
    `create table build_logs (build_id text not null references builds(id) on delete cascade,
      sequence integer not null, timestamp bigint not null, level text not null, message text not null, step text,
      primary key (build_id, sequence))`,
  ],
  [
    // what one team may take of the machine; null: what the machine says
    ...['cpu_count', 'memory_mb', 'disk_size_mb', 'unfinished_builds', 'uploads', 'upload_mb', 'diffs'].map(
      (column) => `alter table plans add column ${column} integer`,
    ),
    `create table uploads (team_id text not null references teams(id), hash text not null,
      size_bytes bigint not null, used_at bigint not null, primary key (team_id, hash))`,
    `create table upload_uses (team_id text not null, hash text not null,
      template_id text not null references templates(id) on delete cascade, primary key (team_id, hash, template_id),
      foreign key (team_id, hash) references uploads(team_id, hash) on delete cascade)`,
    `create index upload_uses_by_template on upload_uses (template_id)`,
  ],
  [
    `create table idempotency_keys (team_id text not null references teams(id), key_hash text not null,
      request_hash text not null, created_at bigint not null, answer text, primary key (team_id, key_hash))`,
    `create index idempotency_keys_by_time on idempotency_keys (created_at)`,
    // what a paused sandbox would get back with its memory: an envd that answers, or not
    `alter table checkpoints add column guest_unresponsive integer not null default 0`,
    // every time that a tag was put on a build; the newest of each is in template_tags
    `create table tag_assignments (id text primary key,
      template_id text not null references templates(id) on delete cascade, tag text not null,
      build_id text not null references builds(id) on delete cascade, assigned_at bigint not null)`,
    `create index tag_assignments_by_tag on tag_assignments (template_id, tag, assigned_at)`,
    `create index tag_assignments_by_build on tag_assignments (build_id)`,
    `insert into tag_assignments select lower(hex(randomblob(4)) || '-' || hex(randomblob(2)) || '-4' ||
      substr(hex(randomblob(2)), 2) || '-a' || substr(hex(randomblob(2)), 2) || '-' || hex(randomblob(6))),
      template_id, tag, build_id, created_at from template_tags`,
  ],
  [`alter table builds add column runtime_env_vars text not null default '{}'`],
]

export async function migrate(db: Kysely<Schema>): Promise<void> {
  await sql`create table if not exists schema_version (version integer not null)`.execute(db)
  const { rows } = await sql<{ version: number }>`select version from schema_version`.execute(db)
  const done = rows[0]?.version ?? 0
  if (rows.length === 0) await sql`insert into schema_version (version) values (0)`.execute(db)
  for (const [index, statements] of migrations.entries()) {
    if (index < done) continue
    await db.transaction().execute(async (transaction) => {
      for (const statement of statements) await sql.raw(statement).execute(transaction)
      await sql`update schema_version set version = ${index + 1}`.execute(transaction)
    })
  }
}
