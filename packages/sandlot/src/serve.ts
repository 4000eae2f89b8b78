import { SandlotError } from '@sandlot/protocol'
import { type CatalogReport, checkStore, withoutPassword } from '@sandlot/server'
import type { Logger } from 'pino'
import { describeCatalog, detailsOf, isUnfinished } from './catalog/describe.ts'
import { catalogOf } from './catalog/names.ts'
import type { Config } from './config.ts'
import { readEnvFile, writeEnvFile } from './env-file.ts'
import { checkListen } from './listen-check.ts'
import { createLogger } from './logger.ts'
import { createProgress } from './progress.ts'
import { becomeServer, type ServerLock } from './server-lock.ts'
import { prepareMachine } from './setup/index.ts'
import { onStopSignal } from './stop-signals.ts'
import { storeUrl } from './store-url.ts'
import { type RunningServer, startServer } from './wiring.ts'

/** Time for open streams to end; the process ends within 10 s of the first signal. */
const DRAIN_MS = 6_000
const EXIT_MS = 9_500

/**
 * Runs the server of a home, from the lock to the end of the process.
 * @param onReady called when the server answers, with the API key of `<home>/env`
 * @throws SandlotError when the machine, the home or the port does not allow it
 */
export async function serve(config: Config, onReady: (apiKey: string) => void): Promise<void> {
  const { settings } = config
  if (process.getuid?.() !== 0) throw new SandlotError('forbidden', 'root is needed: run `sudo npm start`')
  const { home, listen, domain } = settings
  const lock = becomeServer(home, { listen, domain, store: withoutPassword(storeUrl(settings)) })
  // No drain is needed before the server runs, as set-up steps can be interrupted at any point.
  const stopEarly = onStopSignal(() => {
    lock.release()
    process.exit(0)
  })
  try {
    catalogOf(settings.catalog)
    await checkStore(storeUrl(settings))
    const hosts = await checkListen(config.listen)
    const sandboxHosts = config.sandboxListen && (await checkListen(config.sandboxListen, 'sandbox-listen'))
    const progress = createProgress()
    const programs = await prepareMachine(config, progress)
    const logger = createLogger(settings.logLevel)
    const server = await startServer({
      config,
      hosts,
      sandboxHosts,
      programs,
      progress,
      logger,
      onStandby(holder) {
        lock.note({ standbyFor: holder })
        if (holder) logger.warn({ holder }, 'standby: another server is the active one of the database')
      },
      onLeaseLost(reason) {
        logger.fatal({ reason }, 'this server is no longer the active one of its database, and ends')
        lock.release()
        process.exit(1)
      },
    })
    const apiKey = await server.ensureApiKey(readEnvFile(settings.home)?.E2B_API_KEY)
    const { caBundle } = server
    const variables = writeEnvFile(settings.home, {
      apiKey,
      port: config.listen.port,
      sandboxPort: config.sandboxListen?.port,
      domain: settings.domain,
      caBundle,
    })
    stopEarly()
    drainOnSignal(server, lock, logger)
    onReady(apiKey)
    await server.buildCatalog(variables, reportCatalog)
  } catch (error) {
    lock.release()
    throw error
  }
}

/** At the first stop signal, ends the process once pending requests have ended or their time is over. */
function drainOnSignal(server: RunningServer, lock: ServerLock, logger: Logger): void {
  onStopSignal((signal) => {
    logger.info({ signal }, 'draining; sandboxes stay alive')
    setTimeout(() => {
      logger.warn('the drain took too long')
      process.exit(0)
    }, EXIT_MS).unref()
    void server
      .close(DRAIN_MS)
      .catch((error: unknown) => logger.error({ err: error }, 'the server did not close cleanly'))
      .finally(() => {
        lock.release()
        process.exit(0)
      })
  })
}

/** Prints which templates of the catalog are being built, and which cannot be built. */
function reportCatalog(report: CatalogReport): void {
  if (report.templates.some(isUnfinished))
    process.stderr.write(
      `In the background: catalog: ${describeCatalog(report)} (\`sandlot status\` shows it)\n`,
    )
  for (const line of detailsOf(report)) process.stderr.write(`  ${line}\n`)
}
