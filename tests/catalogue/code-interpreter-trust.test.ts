import { beforeAll, expect, test } from 'vitest'
import { sharedInterpreter } from './interpreter.ts'

/** The sandbox trusts no certificate of this server, and that of header rules once it has a rule. */
const URL_OF = 'https://allowed.test/'
const NETWORK = { rules: { 'allowed.test': [{ transform: { headers: { 'x-intercepted': 'yes' } } }] } }

/** Names of clients to whether their request was intercepted, or why it failed, as the last line of the output. */
type Found = Record<string, boolean | string>
interface Program {
  language: string
  /** Makes the kernel, and its libraries, load the authorities that are known before the first rule. */
  before?: string
  code: string
}

const python: Program = {
  language: 'python',
  before: `
import os, ssl, requests, urllib.request, httpx, aiohttp
kept = requests.Session()
os.environ['PIP_CERT'] = '/own.pem'
for get in (kept.get, httpx.get, urllib.request.urlopen):
    try: get('${URL_OF}')
    except Exception: pass`,
  code: `
import json, subprocess, urllib3
async def by_aiohttp():
    async with aiohttp.ClientSession() as session:
        async with session.get('${URL_OF}') as response: return await response.text()
async def asked(ask):
    try:
        text = ask()
        return 'x-intercepted' in (text if isinstance(text, str) else await text)
    except Exception as error: return repr(error)
print(json.dumps({
    'urllib': await asked(lambda: urllib.request.urlopen('${URL_OF}').read().decode()),
    'requests': await asked(lambda: requests.get('${URL_OF}').text),
    'requests, kept session': await asked(lambda: kept.get('${URL_OF}').text),
    'httpx': await asked(lambda: httpx.get('${URL_OF}').text),
    'aiohttp': await asked(by_aiohttp),
    'urllib3': await asked(lambda: urllib3.PoolManager().request('GET', '${URL_OF}').data.decode()),
    'curl of the kernel': await asked(lambda: subprocess.run(['curl', '-sS', '${URL_OF}'], capture_output=True, text=True).stdout),
    'own variable': os.environ['PIP_CERT'],
}))`,
}

const askedInJavaScript = `
const asked = async (ask) => {
  try { return (await ask()).includes('x-intercepted') } catch (error) { return String(error.cause ?? error.message) }
}
console.log(JSON.stringify({
  fetch: await asked(async () => (await fetch('${URL_OF}')).text()),
  'fetch of a Request': await asked(async () => (await fetch(new Request('${URL_OF}'))).text()),
  'node:https': await asked(() => new Promise((resolve, reject) => require('node:https')
    .get('${URL_OF}', async (response) => resolve(Buffer.concat(await response.toArray()).toString()))
    .on('error', reject))),
  WebSocket: await asked(() => new Promise((resolve, reject) => {
    const socket = new WebSocket('${URL_OF}')
    socket.onopen = () => socket.send('x-intercepted')
    socket.onmessage = ({ data }) => { resolve(data); socket.close() }
    socket.onerror = ({ message }) => reject(new Error(message))
  })),
}))`
const javascript: Program = {
  language: 'javascript',
  before: `
await fetch('${URL_OF}').catch(() => {})
await new Promise((resolve) => require('node:https').get('${URL_OF}', resolve).on('error', resolve))`,
  code: askedInJavaScript,
}
/** A kernel that starts with the rule. */
const typescript: Program = { language: 'typescript', code: askedInJavaScript }

const java: Program = {
  language: 'java',
  before: `
import java.net.*;
import java.net.http.*;
String ask(java.util.concurrent.Callable<String> request) {
  try { return Boolean.toString(request.call().contains("x-intercepted")); } catch (Exception e) { return '"' + e.getMessage() + '"'; }
}
String by(HttpClient client) throws Exception {
  return client.send(HttpRequest.newBuilder(URI.create("${URL_OF}")).build(), HttpResponse.BodyHandlers.ofString()).body();
}
String byConnection() throws Exception { return new String(new URL("${URL_OF}").openStream().readAllBytes()); }
String byNewContext() throws Exception {
  var context = javax.net.ssl.SSLContext.getInstance("TLS");
  context.init(null, null, null);
  return by(HttpClient.newBuilder().sslContext(context).build());
}
ask(() -> by(HttpClient.newHttpClient()));
ask(() -> byConnection());`,
  code: `
System.out.println("{\\"HttpClient\\":" + ask(() -> by(HttpClient.newHttpClient())) + ",\\"URLConnection\\":" + ask(() -> byConnection())
  + ",\\"context from the store\\":" + ask(() -> byNewContext()) + "}");`,
}

const r: Program = {
  language: 'r',
  before: `try(readLines(url('${URL_OF}')), silent = TRUE)`,
  code: `
asked <- function(ask) tryCatch(tolower(any(grepl('x-intercepted', ask()))), error = function(e) dQuote(conditionMessage(e), FALSE))
download <- function(method) { download.file('${URL_OF}', '/tmp/r', quiet = TRUE, method = method); readLines('/tmp/r', warn = FALSE) }
cat(sprintf('{"url": %s, "download.file": %s}\\n', asked(function() readLines(url('${URL_OF}'), warn = FALSE)), asked(function() download('libcurl'))))`,
}

const bash: Program = {
  language: 'bash',
  before: `export AWS_CA_BUNDLE=/own.pem; curl -s ${URL_OF}`,
  code: `asked() { "$@" | grep -q x-intercepted && echo true || echo false; }
echo "{\\"curl\\": $(asked curl -sS ${URL_OF}), \\"wget\\": $(asked wget -qO- ${URL_OF}), \\"own variable\\": \\"$AWS_CA_BUNDLE\\"}"`,
}

const programs = [python, javascript, typescript, java, r, bash]
const sandbox = sharedInterpreter()

/** Runs programs of several kernels at a time. */
async function runAll(
  which: Program[],
  codeOf: (program: Program) => string,
): Promise<Record<string, Found>> {
  const found = which.map(async (program) => {
    const { logs, error } = await sandbox().runCode(codeOf(program), {
      language: program.language,
      timeoutMs: 120_000,
      requestTimeoutMs: 120_000,
    })
    const lines = logs.stdout.join('').trim().split('\n')
    return [program.language, error ? { error: error.value } : parsed(lines.at(-1)!)] as const
  })
  return Object.fromEntries(await Promise.all(found))
}

const parsed = (line: string): Found => (line.startsWith('{') ? JSON.parse(line) : { line })

let found: Record<string, Found>
beforeAll(async () => {
  await runAll(
    programs.filter(({ before }) => before),
    ({ before }) => before!,
  )
  await sandbox().updateNetwork(NETWORK)
  found = await runAll(programs, ({ code }) => code)
}, 180_000)

test.each<[string, Found]>([
  [
    'python',
    {
      urllib: true,
      requests: true,
      'requests, kept session': true,
      httpx: true,
      aiohttp: true,
      urllib3: true,
      'curl of the kernel': true,
      'own variable': '/own.pem',
    },
  ],
  ['javascript', { fetch: true, 'fetch of a Request': true, 'node:https': true, WebSocket: true }],
  ['java', { HttpClient: true, URLConnection: true, 'context from the store': true }],
  ['r', { url: true, 'download.file': true }],
  ['bash', { curl: true, wget: true, 'own variable': '/own.pem' }],
])('a kernel of %s that runs and has used TLS trusts the authority of the first rule', (language, all) => {
  expect(found[language]).toEqual(all)
})

test('a kernel that starts with the rule trusts it', () => {
  expect(found.typescript).toEqual({
    fetch: true,
    'fetch of a Request': true,
    'node:https': true,
    WebSocket: true,
  })
})
