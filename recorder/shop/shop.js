// The shop: every page is the same shell, and this script fills <main> by the path.
const page = document.querySelector('#page')
const path = location.pathname
const stored = (key, fallback) => JSON.parse(localStorage.getItem(key)) ?? fallback
const store = (key, value) => localStorage.setItem(key, JSON.stringify(value))
const cents = (amount) => Math.round(amount * 100) / 100
const total = (cart) => cents(cart.reduce((sum, line) => sum + line.price * line.quantity, 0))

async function post(url, body) {
  const at = new Date().toISOString()
  const response = await fetch(url, { method: 'POST', body: JSON.stringify({ at, ...body }) })
  return { ok: response.ok, ...(await response.json()) }
}

// Leaving at once would cut off the requests that the SDK has just begun.
function leaveFor(url) {
  setTimeout(() => location.assign(url), 600)
}

function render(html) {
  page.innerHTML = html
}

function onClick(selector, handler) {
  document.querySelector(selector)?.addEventListener('click', handler)
}

function onSubmit(handler) {
  document.querySelector('form').addEventListener('submit', (event) => {
    event.preventDefault()
    handler(Object.fromEntries(new FormData(event.target)))
  })
}

function showHome({ products }) {
  const card = (p) => `<li class="card product">
    <a class="product-link" href="/products/${p.slug}"><span class="name">${p.name}</span></a>
    <span class="price">$${p.price}</span></li>`
  render(`<h1>Teas and pots</h1><ul class="products">${products.map(card).join('')}</ul>`)
}

function showProduct({ products }) {
  const product = products.find((p) => path.endsWith(`/${p.slug}`))
  render(`<article class="product-page"><h1>${product.name}</h1><p class="price">$${product.price}</p>
    <button class="btn btn-primary add" data-attr="add-to-cart">Add to cart</button></article>`)
  posthog.capture('product viewed', { product: product.slug, price: product.price, currency: 'USD' })
  onClick('.add', () => {
    store('cart', [...stored('cart', []), { ...product, quantity: 1 }])
    posthog.capture('product added', { product: product.slug, quantity: 1 })
  })
}

function showCart() {
  const cart = stored('cart', [])
  const row = (line) => `<tr><td>${line.name}</td><td>${line.quantity}</td>
    <td><button class="btn more" aria-label="One more">+</button></td></tr>`
  render(`<section class="cart"><h1>Your cart</h1><table>${cart.map(row).join('')}</table>
    <div class="cart-summary"><p>Total <b>$${total(cart)}</b></p>
    <button class="btn" data-attr="keep-shopping">Keep shopping</button>
    <button class="btn btn-primary" data-attr="checkout-button"><span class="label">Checkout</span></button>
    </div></section>`)
  onClick('.more', () => {
    cart[0].quantity += 1
    store('cart', cart)
    showCart()
  })
  onClick('[data-attr=keep-shopping]', () => location.assign('/'))
  onClick('[data-attr=checkout-button]', () => location.assign('/checkout'))
}

// Release 42 read the total from a field that was gone, so nobody could pay while it was live.
function payableTotal(cart, release) {
  return release === '42' ? cart.summary.total : total(cart)
}

function showCheckout({ release }) {
  const cart = stored('cart', [])
  render(`<h1>Checkout</h1><form id="payment" class="card"><label>Card <select name="card">
    <option value="good">ending in 4242</option><option value="declined">ending in 0002</option></select></label>
    <button type="submit" class="btn btn-primary pay" data-attr="place-order">Place order</button>
    <p class="message" role="status"></p></form>`)
  posthog.capture('checkout started', { total: total(cart), currency: 'USD', items: cart.length })
  onSubmit(async ({ card }) => {
    const amount = payableTotal(cart, release)
    const items = cart.map(({ slug, quantity, price }) => ({ product: slug, quantity, price }))
    const order = await post('/api/orders', { customer: posthog.get_distinct_id(), amount, items, card })
    if (!order.ok) {
      document.querySelector('.message').textContent = 'Your card was declined.'
      return
    }
    const placed = { order_id: order.id, total: amount, currency: 'USD', items }
    posthog.capture('order placed', placed)
    store('cart', [])
    leaveFor('/thanks')
  })
}

function showSignup() {
  render(`<h1>Sign up</h1><form id="signup"><label>Name <input name="name" required></label>
    <label>E-mail <input name="email" type="email" required></label>
    <label>Mobile <input name="phone" type="tel"></label>
    <button type="submit" class="btn btn-primary">Create account</button></form>`)
  onSubmit(async ({ name, email, phone }) => {
    const { customer } = await post('/api/signup', { email })
    const known = { email, name, plan: customer.plan, ...(phone ? { phone } : {}) }
    posthog.identify(customer.id, known, { first_page: document.referrer || location.href })
    if (customer.company) {
      posthog.group('company', customer.company.key, { name: customer.company.name })
    }
    leaveFor('/')
  })
}

function showThanks() {
  render('<h1>Thank you!</h1><p>We have sent you an e-mail.</p><a class="btn" href="/">More tea</a>')
}

const views = {
  '/': showHome,
  '/cart': showCart,
  '/checkout': showCheckout,
  '/signup': showSignup,
  '/thanks': showThanks,
}

const shop = window.shop // what the server put in: release, token, products
posthog.init(shop.token, {
  api_host: `${location.origin}/ingest`,
  request_queue_config: { flush_interval_ms: 250 },
  autocapture: true,
  capture_pageview: true,
  capture_pageleave: true,
  capture_exceptions: true,
  capture_dead_clicks: false,
  capture_heatmaps: false,
  capture_performance: false,
  disable_session_recording: true,
  disable_surveys: true,
  disable_external_dependency_loading: true,
  person_profiles: 'always',
})
posthog.register({ release: shop.release })
const view = path.startsWith('/products/') ? showProduct : views[path]
view(shop)
document.documentElement.dataset.ready = 'true'
