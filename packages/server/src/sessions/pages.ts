import { createHash } from 'node:crypto'
import { Html, html } from './html.ts'

const style = `
:root { color-scheme: light dark; --ground: #f6f5f2; --card: #fff; --text: #1d1c1a; --soft: #6d6a64; --line: #dedad2; --mark: #c2410c; --on-mark: #fff; --bad: #b91c1c }
@media (prefers-color-scheme: dark) { :root { --ground: #151412; --card: #1f1e1b; --text: #edebe6; --soft: #a8a399; --line: #3a3731; --mark: #fb923c; --on-mark: #1d1208; --bad: #fca5a5 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 480px; padding: 32px; background: var(--card); border: 1px solid var(--line); border-radius: 14px }
h1 { margin: 0 0 8px; font-size: 22px; line-height: 1.25 }
p { margin: 0 0 12px; color: var(--soft) }
p:last-child { margin-bottom: 0 }
code { font: 14px/1.5 ui-monospace, monospace; color: var(--text); overflow-wrap: anywhere }
.mark { display: block; width: 36px; height: 4px; margin-bottom: 20px; border-radius: 2px; background: var(--mark) }
dl { margin: 20px 0; padding: 16px 0; display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; border: solid var(--line); border-width: 1px 0 }
dt { color: var(--soft) }
dd { margin: 0; overflow-wrap: anywhere }
form { margin: 0 }
label { display: block; margin: 20px 0 6px; font-weight: 600 }
input { width: 100%; padding: 10px 12px; border: 1px solid var(--line); border-radius: 8px; background: var(--ground); color: inherit; font: 15px/1.4 ui-monospace, monospace }
.buttons { display: flex; gap: 12px; margin-top: 20px }
button { flex: 1; padding: 10px 16px; border: 1px solid var(--line); border-radius: 8px; background: none; color: inherit; font: 600 15px/1.4 system-ui, sans-serif; cursor: pointer }
button.main { border-color: var(--mark); background: var(--mark); color: var(--on-mark) }
button.plain { flex: none; padding: 0; border: 0; color: var(--soft); font-weight: 400; text-decoration: underline }
:focus-visible { outline: 2px solid var(--mark); outline-offset: 2px }
.bad { color: var(--bad) }
.after { margin-top: 20px }
`

/** For the `style-src` of the pages' content security policy: this style and no other. */
export const STYLE_HASH = `'sha256-${createHash('sha256').update(style).digest('base64')}'`

export interface Page {
  title: string
  body: Html
}

/** Parameters that the CLI opens the page with; every form repeats them. */
export interface CliLogin {
  next: string
  cliVersion: string
}

export interface SignInForm {
  formToken: string
  login?: CliLogin
  /** Token of a login link that was opened; the user then types nothing. */
  linkToken?: string
  /** Why the last attempt failed. */
  problem?: string
}

export const cliName = ({ cliVersion }: CliLogin): string => `E2B CLI ${cliVersion}`.trim()

export function signInPage({ formToken, login, linkToken, problem }: SignInForm): Page {
  const isLink = linkToken !== undefined
  return {
    title: 'Sign in',
    body: html`<h1>Sign in to this server</h1>
${login && html`<p>${cliName(login)} waits for you at ${new URL(login.next).host}.</p>`}
${problem && html`<p class="bad" role="alert">${problem}</p>`}
<form method="post" action="/docs/sign-in">
${loginFields(login)}<input type="hidden" name="formToken" value="${formToken}">
${
  isLink
    ? html`<input type="hidden" name="credential" value="${linkToken}">
<p>This browser will be signed in as the administrator for 12 hours.</p>`
    : html`<label for="credential">Login link or API key</label>
<input id="credential" name="credential" type="password" required maxlength="512" autocomplete="off" autofocus spellcheck="false">`
}
<div class="buttons"><button class="main">Sign in</button></div>
</form>
${!isLink && html`<p class="after">On the server, <code>sandlot login-link</code> prints a link that works once, for ten minutes. API keys begin with <code>e2b_</code>.</p>`}`,
  }
}

export interface ConsentForm {
  formToken: string
  signOutToken: string
  login: CliLogin
  email: string
  teamName: string
}

export function consentPage({ formToken, signOutToken, login, email, teamName }: ConsentForm): Page {
  return {
    title: `Allow ${cliName(login)}?`,
    body: html`<h1>Let the command line use this server?</h1>
<p>Allow this only if you have just run <code>e2b auth login</code> on this computer.</p>
<dl>
<dt>Program</dt><dd>${cliName(login)}</dd>
<dt>Waits at</dt><dd>${new URL(login.next).host}</dd>
<dt>Team</dt><dd>${teamName}</dd>
<dt>Signed in as</dt><dd>${email}</dd>
<dt>It may</dt><dd>do everything that this team may, until <code>e2b auth logout</code>, or for 30 days</dd>
</dl>
<form method="post" action="/docs/api/cli">
${loginFields(login)}<input type="hidden" name="formToken" value="${formToken}">
<div class="buttons"><button class="main" name="decision" value="allow">Allow</button>
<button name="decision" value="deny">Cancel</button></div>
</form>
<form class="after" method="post" action="/docs/sign-out">
<input type="hidden" name="formToken" value="${signOutToken}">
<button class="plain">Sign out of this browser</button>
</form>`,
  }
}

export const cliSucceededPage = (email: string): Page => ({
  title: 'Signed in',
  body: html`<h1>The command line is signed in</h1>
<p>It works as ${email}. You can close this page and go back to the terminal.</p>`,
})

export const cliFailedPage = (reason: string): Page => ({
  title: 'Not signed in',
  body: html`<h1>The command line is not signed in</h1>
<p class="bad">${reason}</p>
<p>Run <code>e2b auth login</code> to try again.</p>`,
})

export const signedInPage = (email: string): Page => ({
  title: 'Signed in',
  body: html`<h1>This browser is signed in</h1>
<p>You are ${email}. Run <code>e2b auth login</code>, or reload the page that it has opened.</p>`,
})

export const signedOutPage = (): Page => ({
  title: 'Signed out',
  body: html`<h1>This browser is signed out</h1>
<p>Command lines that were signed in from here stay so: <code>e2b auth logout</code> ends them.</p>`,
})

export const problemPage = (problem: string): Page => ({
  title: 'That did not work',
  body: html`<h1>That did not work</h1>
<p class="bad">${problem}</p>`,
})

/** Renders the whole document, which fetches nothing. */
export const renderPage = ({ title, body }: Page): string =>
  html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${title} · Sandlot</title>
<style>${new Html(style)}</style>
</head>
<body>
<main>
<span class="mark"></span>
${body}
</main>
</body>
</html>
`.text

const loginFields = (login: CliLogin | undefined): Html | undefined =>
  login &&
  html`<input type="hidden" name="next" value="${login.next}"><input type="hidden" name="cliVersion" value="${login.cliVersion}">
`
