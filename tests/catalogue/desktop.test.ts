import * as official from 'desktop-official'
import * as onOurs from 'desktop-on-ours'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { Picture } from './picture.ts'
import { BUILD_TIMEOUT_MS, waitForTemplate } from './ready.ts'
import { greet } from './rfb.ts'

type Desktop = official.Sandbox
type Options = { resolution?: [number, number]; display?: string }

/** Applications start in 1-3 s on an idle machine. */
const APPLICATION = { timeout: 60_000, interval: 500 }
const SIZE: [number, number] = [1280, 800]
const GREEN = 0x20c060
const PAGE = `<!doctype html><title>green page</title>
<body style="margin:0;background:#20c060;height:5000px" onscroll="document.title='scrolled page'">`

const created: Desktop[] = []
let desktop: Desktop

async function create(opts?: Options, Sandbox = official.Sandbox): Promise<Desktop> {
  const sandbox = await Sandbox.create({ timeoutMs: 900_000, ...opts })
  created.push(sandbox)
  return sandbox
}
const picture = async (of = desktop) => new Picture(await of.screenshot())
const seen = (path: string, of = desktop) => vi.waitFor(() => of.files.read(path), APPLICATION)
const titles = async (application: string) => {
  const ids = await desktop.getApplicationWindows(application)
  return Promise.all(ids.map((id) => desktop.getWindowTitle(id)))
}

beforeAll(async () => {
  await waitForTemplate('desktop')
  delete process.env.E2B_API_URL
  delete process.env.E2B_SANDBOX_URL
  desktop = await create({ resolution: SIZE })
}, BUILD_TIMEOUT_MS)
afterAll(() => Promise.allSettled(created.map((sandbox) => sandbox.kill())), 60_000)

/** A file of an earlier attempt. */
const stopStream = () => desktop.stream.stop().catch(() => {})

describe('a desktop of @e2b/desktop 2.4.0', () => {
  test('shows background and panel in the requested size', async () => {
    expect(await desktop.getScreenSize()).toEqual({ width: SIZE[0], height: SIZE[1] })
    await vi.waitFor(async () => {
      const shown = await picture()
      expect([shown.width, shown.height]).toEqual(SIZE)
      expect(shown.colours()).toBeGreaterThan(100)
    }, APPLICATION)
  })

  test('is 1024x768 by default, also with the package on our SDK', async () => {
    const other = await create({}, onOurs.Sandbox as unknown as typeof official.Sandbox)
    expect(await other.getScreenSize()).toEqual({ width: 1024, height: 768 })
    const shown = await picture(other)
    expect([shown.width, shown.height]).toEqual([1024, 768])
    expect(shown.colours()).toBeGreaterThan(100)
    await other.kill()
  })

  test('has a second display on request', async () => {
    const other = await create({ display: ':1', resolution: [800, 600] })
    expect(await other.getScreenSize()).toEqual({ width: 800, height: 600 })
    await other.kill()
  })

  test('moves the pointer', async () => {
    await desktop.moveMouse(321, 234)
    expect(await desktop.getCursorPosition()).toEqual({ x: 321, y: 234 })
  })

  test('opens the menu of the desktop with the right button', async () => {
    const before = await picture()
    await desktop.rightClick(900, 500)
    await vi.waitFor(async () => expect((await picture()).shareIn(before)).toBeLessThan(0.995), APPLICATION)
    await desktop.press('escape')
  })

  test('runs what is typed into a terminal', async () => {
    await desktop.launch('xfce4-terminal')
    await vi.waitFor(async () => expect(await titles('xfce4-terminal')).toHaveLength(1), APPLICATION)
    await vi.waitFor(async () => {
      const title = await desktop.getWindowTitle(await desktop.getCurrentWindowId())
      expect(title).toContain('Terminal')
    }, APPLICATION)
    await desktop.write(`echo "it's $((6 * 7)) & <more>" > typed.txt`)
    await desktop.press('enter')
    expect(await seen('/home/user/typed.txt')).toBe(`it's 42 & <more>\n`)
    await desktop.press(['ctrl', 'd'])
    await vi.waitFor(
      () => expect(desktop.getApplicationWindows('xfce4-terminal')).rejects.toThrow(),
      APPLICATION,
    )
  })

  test('opens a file in the editor, where keys, double click and drag work', async () => {
    const file = '/home/user/words.txt'
    // of an earlier attempt
    await desktop.commands.run('pkill --exact mousepad; sleep 1')
    await desktop.files.write(file, `${'gherkin '.repeat(40)}\n`.repeat(200))
    await desktop.open(file)
    await vi.waitFor(
      async () => expect(await titles('mousepad')).toEqual([expect.stringContaining('words.txt')]),
      APPLICATION,
    )
    await vi.waitFor(async () => {
      expect(await desktop.getWindowTitle(await desktop.getCurrentWindowId())).toContain('words.txt')
    }, APPLICATION)
    const window = await desktop.getCurrentWindowId()
    const { stdout } = await desktop.commands.run(`xdotool getwindowgeometry --shell ${window}`)
    const at = (name: string) => Number(new RegExp(`^${name}=(\\d+)$`, 'm').exec(stdout)![1])
    const [left, middle] = [at('X') + 92, at('Y') + Math.round(at('HEIGHT') / 2)]
    const selected = async () => (await desktop.commands.run('xclip -o -selection primary')).stdout

    // within the second word; a click before the text is drawn hits nothing
    await vi.waitFor(async () => {
      await desktop.doubleClick(left, middle)
      expect((await selected()).trim()).toBe('gherkin')
    }, APPLICATION)

    // on another line: dragging what is selected moves it
    await desktop.drag([left, middle + 60], [left + 150, middle + 60])
    await vi.waitFor(async () => expect((await selected()).length).toBeGreaterThan(10), APPLICATION)

    await desktop.press(['ctrl', 'a'])
    await desktop.write('written by hand', { chunkSize: 50, delayInMs: 20 })
    await desktop.press(['ctrl', 's'])
    await vi.waitFor(
      async () => expect((await desktop.files.read(file)).trim()).toBe('written by hand'),
      APPLICATION,
    )
    // longer than the pieces in which the client types
    const typed = [
      'one, two',
      '',
      '\tit\'s "three" \\ `four` $HOME &',
      'é ß € 漢字 한글 🙂',
      '-5 --delay',
    ].join('\n')
    await desktop.press(['ctrl', 'a'])
    await desktop.write(`${typed}\r\nend`, { chunkSize: 20, delayInMs: 40 })
    await desktop.press(['ctrl', 's'])
    await vi.waitFor(
      async () => expect((await desktop.files.read(file)).trim()).toBe(`${typed}\nend`),
      APPLICATION,
    )
    await desktop.press(['ctrl', 'q'])
    await vi.waitFor(() => expect(desktop.getApplicationWindows('mousepad')).rejects.toThrow(), APPLICATION)
  })

  test('shows a page in the browser that is launched by its usual name, and scrolls it', async () => {
    await desktop.files.write('/home/user/site/index.html', PAGE)
    await desktop.commands.run('python3 -m http.server 8000 --directory site', {
      background: true,
      timeoutMs: 0,
    })
    await desktop.launch('google-chrome', 'http://localhost:8000/')
    await vi.waitFor(async () => expect((await picture()).shareOf(GREEN)).toBeGreaterThan(0.2), APPLICATION)
    expect(await titles('google-chrome')).toEqual([expect.stringContaining('green page')])

    await desktop.moveMouse(SIZE[0] / 2, SIZE[1] / 2)
    await desktop.scroll('down', 3)
    await vi.waitFor(async () => {
      expect(await titles('google-chrome')).toEqual([expect.stringContaining('scrolled page')])
    }, APPLICATION)
  })

  test('opens an address and an HTML file with the browser', async () => {
    await desktop.files.write('/home/user/second.html', '<title>second page</title>')
    await desktop.open('/home/user/second.html')
    await vi.waitFor(
      async () => expect((await titles('google-chrome')).join()).toContain('second page'),
      APPLICATION,
    )
    await desktop.open('http://localhost:8000/third')
    await vi.waitFor(
      async () => expect((await titles('google-chrome')).join()).toContain('Error response'),
      APPLICATION,
    )
  })

  test('streams the screen to the page of noVNC, until the stream is stopped', async () => {
    await stopStream()
    await desktop.stream.start()
    const page = new URL(desktop.stream.getUrl())
    const answer = await fetch(page, { signal: AbortSignal.timeout(20_000) })
    expect(answer.status).toBe(200)
    expect(await answer.text()).toContain('<title>noVNC</title>')
    const greeting = await greet(`wss://${page.host}/websockify`)
    expect(greeting).toMatchObject({ version: 'RFB 003.008', screen: { width: SIZE[0], height: SIZE[1] } })
    await desktop.stream.stop()
    await vi.waitFor(() => expect(greet(`wss://${page.host}/websockify`)).rejects.toThrow(), APPLICATION)
  })

  test('admits only clients with the key to a stream with authentication', async () => {
    await stopStream()
    await desktop.stream.start({ requireAuth: true })
    const authKey = desktop.stream.getAuthKey()
    const page = new URL(desktop.stream.getUrl({ authKey }))
    const socket = `wss://${page.host}/websockify`
    expect(page.searchParams.get('password')).toBe(authKey)
    expect(await greet(socket)).toEqual({ version: 'RFB 003.008', securityTypes: [2] })
    expect((await greet(socket, 'not this')).screen).toBeUndefined()
    expect((await greet(socket, authKey)).screen).toMatchObject({ width: SIZE[0], height: SIZE[1] })
    await desktop.stream.stop()
  })

  test('keeps picture, windows and pointer through a pause', async () => {
    await desktop.moveMouse(400, 300)
    const before = await picture()
    const windows = await titles('google-chrome')
    await desktop.pause()
    desktop = await official.Sandbox.connect(desktop.sandboxId, { timeoutMs: 900_000 })
    expect((await picture()).shareIn(before)).toBeGreaterThan(0.98)
    expect(await desktop.getCursorPosition()).toEqual({ x: 400, y: 300 })
    expect(await titles('google-chrome')).toEqual(windows)
    await desktop.launch('xfce4-terminal')
    await vi.waitFor(async () => expect(await titles('xfce4-terminal')).toHaveLength(1), APPLICATION)
  })
})
