/** A page that loads no other files, as nothing behind the edge answers when it is shown. */
export function renderErrorPage(
  status: number,
  body: { sandboxId?: string; message: string; port?: number },
): string {
  const facts = [
    ['Sandbox', body.sandboxId],
    ['Port', body.port],
    ['Status', status],
  ].filter(([, value]) => value !== undefined)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<title>${escapeHtml(body.message)}</title>
<style>
:root { color-scheme: light dark; --ground: #f6f5f2; --card: #fff; --text: #1d1c1a; --soft: #6d6a64; --line: #e2dfd8; --mark: #c2410c }
@media (prefers-color-scheme: dark) { :root { --ground: #151412; --card: #1f1e1b; --text: #edebe6; --soft: #9c978d; --line: #34322d; --mark: #fb923c } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 24px; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 520px; padding: 32px; background: var(--card); border: 1px solid var(--line); border-radius: 14px }
h1 { margin: 0 0 8px; font-size: 22px; line-height: 1.25 }
p { margin: 0; color: var(--soft) }
dl { margin: 24px 0 0; display: grid; grid-template-columns: max-content 1fr; gap: 6px 20px; padding-top: 20px; border-top: 1px solid var(--line) }
dt { color: var(--soft) }
dd { margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere }
.mark { display: block; width: 36px; height: 4px; margin-bottom: 20px; border-radius: 2px; background: var(--mark) }
</style>
</head>
<body>
<main>
<span class="mark"></span>
<h1>${escapeHtml(body.message)}</h1>
<p>${escapeHtml(adviceFor(status, body.port))}</p>
<dl>${facts.map(([name, value]) => `<dt>${name}</dt><dd>${escapeHtml(String(value))}</dd>`).join('')}</dl>
</main>
</body>
</html>
`
}

function adviceFor(status: number, port: unknown): string {
  if (status === 403) return 'Send the token that came with the sandbox when it was created.'
  if (status === 404) return 'There is nothing at this address.'
  if (status === 429) return 'Close some connections or try again in a moment.'
  if (status === 502 && port === undefined)
    return 'It was stopped, has reached its end of life, or never existed.'
  if (status === 502) return `Start a server on port ${port} inside the sandbox, then reload this page.`
  return 'Try again in a moment.'
}

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, (character) => ENTITIES[character] ?? '')
