// Plays the story's visits in headless Chromium, on the clock of the story.
//
// Usage: node visits.mjs story.json https://127.0.0.1:PORT
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

const [storyFile, server] = process.argv.slice(2)
const story = JSON.parse(await readFile(storyFile, 'utf8'))
const people = new Map(story.people.map((person) => [person.id, person]))
const { port } = new URL(server)

const version = '142.0.0.0'
const chrome = (system, mobile = '') =>
  `Mozilla/5.0 (${system}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${version} ${mobile}Safari/537.36`
const devices = {
  mac: { userAgent: chrome('Macintosh; Intel Mac OS X 10_15_7'), viewport: { width: 1440, height: 900 } },
  windows: { userAgent: chrome('Windows NT 10.0; Win64; x64'), viewport: { width: 1920, height: 1080 } },
  android: {
    userAgent: chrome('Linux; Android 10; K', 'Mobile '),
    viewport: { width: 412, height: 915 },
    isMobile: true,
    hasTouch: true,
  },
  iphone: {
    userAgent:
      'Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1',
    viewport: { width: 393, height: 852 },
    isMobile: true,
    hasTouch: true,
  },
}

// The same "random" pauses in every run.
let seed = 20261102
function pause(from, to) {
  seed = (seed * 1103515245 + 12345) % 2147483648
  return Math.round((from + (seed / 2147483648) * (to - from)) * 1000)
}

// Requests run in real time while the page's clock jumps: a jump amid a request would time it out, and the
// SDK would send its events again.  So wait until the SDK's queue has been sent and nothing is open.
const quietMs = 600
function watchRequests(page) {
  const open = new Set()
  let last = 0
  const note = (act) => (request) => {
    act(request)
    last = performance.now()
  }
  page.on('request', note((request) => open.add(request)))
  page.on('requestfinished', note((request) => open.delete(request)))
  page.on('requestfailed', note((request) => open.delete(request)))
  return async () => {
    last = performance.now()
    const limit = last + 5000
    while ((open.size || performance.now() - last < quietMs) && performance.now() < limit) {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

// While a page unloads, the emulated name is gone already, and the SDK drops what a headless browser sends.
function keepUserAgent(userAgent) {
  Object.defineProperty(navigator, 'userAgent', { get: () => userAgent })
}

const ready = (page) => page.waitForSelector('html[data-ready=true]')

async function follow(page, selector) {
  await Promise.all([page.waitForEvent('load'), page.click(selector)])
  await ready(page)
}

async function signUp(page, person) {
  await follow(page, 'header a[href="/signup"]')
  await page.fill('[name=name]', person.name)
  await page.fill('[name=email]', person.email)
  if (person.phone) await page.fill('[name=phone]', person.phone)
  await follow(page, '#signup button')
}

async function pay(page, card) {
  await page.selectOption('[name=card]', card)
  if (card === 'good') return follow(page, '.pay')
  await page.click('.pay')
  await page.waitForSelector('.message:not(:empty)')
}

const steps = {
  'sign up': signUp,
  view: async (page, _, slug) => {
    if (new URL(page.url()).pathname !== '/') await follow(page, '.brand')
    await follow(page, `a[href="/products/${slug}"]`)
  },
  add: (page) => page.click('.add'),
  cart: (page) => follow(page, '.nav-cart'),
  more: async (page) => {
    if (new URL(page.url()).pathname !== '/cart') await follow(page, '.nav-cart')
    await page.click('.more')
  },
  checkout: (page) => follow(page, '[data-attr=checkout-button]'),
  'footer checkout': (page) => follow(page, 'footer a[href="/checkout"]'),
  pay: (page) => pay(page, 'good'),
  'pay declined': (page) => pay(page, 'declined'),
  'pay broken': (page) => page.click('.pay'),
  leave: () => undefined,
}

async function play(page, settle, visit, person) {
  for (const step of visit.steps) {
    await settle()
    await page.clock.fastForward(step === 'pay broken' ? pause(4, 9) : pause(8, 75))
    const [verb, argument] = step.startsWith('view ') ? step.split(' ') : [step]
    await steps[verb](page, person, argument)
  }
  await settle()
  await page.clock.fastForward(pause(5, 30))
  await settle()
}

async function setServerClock(context, at) {
  await context.request.post(`${server}/control/now`, { data: JSON.stringify(at), ignoreHTTPSErrors: true })
}

// One context a visit, so that each has a clock and a tab of its own; cookies and storage are the person's.
async function visitShop(browser, visit, storageState) {
  const person = people.get(visit.person)
  const device = { ...devices[person.device], screen: devices[person.device].viewport }
  const context = await browser.newContext({
    ...device,
    locale: person.device === 'android' ? 'en-GB' : 'en-US',
    timezoneId: person.timezone,
    storageState,
  })
  await setServerClock(context, visit.at)
  await context.addInitScript(keepUserAgent, device.userAgent)
  const page = await context.newPage()
  const settle = watchRequests(page)
  await page.clock.install({ time: new Date(visit.at) })
  await page.goto(story.origin + visit.url, { referer: visit.referrer })
  await ready(page)
  await play(page, settle, visit, person)
  const state = await context.storageState()
  await page.goto('about:blank') // the page is left: the SDK sends the rest
  await settle()
  await context.close()
  return state
}

const profile = await mkdtemp(join(tmpdir(), 'shop-visits-'))
const flags = [
  '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--disable-blink-features=AutomationControlled', '--ignore-certificate-errors',
  `--host-resolver-rules=MAP ${new URL(story.origin).host} 127.0.0.1:${port}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
]
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: [...flags, `--disk-cache-dir=${profile}`],
})
try {
  const states = new Map()
  for (const visit of story.visits) {
    states.set(visit.person, await visitShop(browser, visit, states.get(visit.person)))
    console.error(`${visit.at}  ${visit.person}  ${visit.steps.length} steps`)
  }
} finally {
  await browser.close()
  await rm(profile, { recursive: true, force: true })
}
