"""The shop's web server, which is the capture server of its analytics too."""

from __future__ import annotations

import base64
import gzip
import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

HERE = Path(__file__).parent
BUNDLE = HERE / "node_modules/posthog-js/dist/array.full.no-external.js"
EVENT_PATHS = ("/e/", "/i/v0/e/", "/batch/", "/capture/", "/i/v1/analytics/events")
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css"}


def decode_body(raw: bytes, encoding: str = "", content_type: str = "") -> Any:
    """Return the JSON in a request body: plain, gzipped, base64, or a form's ``data`` field."""
    if "form-urlencoded" in content_type:
        raw = parse_qs(raw.decode())["data"][0].encode()
    if encoding == "gzip" or raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    if raw[:1] not in (b"{", b"["):
        return decode_body(base64.b64decode(raw))
    return json.loads(raw)


class Shop:
    """What the shop knows: its story, its orders, and every body that was captured."""

    def __init__(self, story: dict[str, Any]) -> None:
        self.story = story
        self.now = ""
        self.bodies: list[Any] = []
        self.journal: list[dict[str, Any]] = []
        self._orders = 0
        self._lock = threading.Lock()

    def take_bodies(self) -> list[Any]:
        """Return what was captured since the last call."""
        with self._lock:
            bodies, self.bodies = self.bodies, []
        return bodies

    def capture(self, body: Any) -> dict[str, Any]:
        with self._lock:
            self.bodies.append(body)
        batch = body["batch"] if isinstance(body, dict) and "batch" in body else []
        return {"status": 1, "results": {e["uuid"]: {"result": "ok"} for e in batch}}

    def sign_up(self, request: dict[str, Any]) -> dict[str, Any]:
        customer = next(p for p in self.story["people"] if p["email"] == request["email"])
        self._note("signup", request, customer=customer["id"])
        return {"customer": customer}

    def place_order(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """Return the order, or nothing where the card is declined."""
        if request["card"] == "declined":
            self._note("declined", request)
            return None
        self._orders += 1
        order_id = f"LK-{2000 + self._orders}"
        self._note("order", request, order_id=order_id)
        return {"id": order_id}

    def _note(self, kind: str, request: dict[str, Any], **more: Any) -> None:
        self.journal.append({"kind": kind, **request, **more})

    def page(self) -> bytes:
        broken = self.story["broken_release"]
        release = "42" if broken["from"] <= self.now < broken["until"] else "41"
        facts = {k: self.story[k] for k in ("token", "products")} | {"release": release}
        html = (HERE / "shop/shop.html").read_text(encoding="utf-8")
        head = f"<script>window.shop = {json.dumps(facts)}</script>\n  </head>"
        return html.replace("</head>", head, 1).encode()

    def remote_config(self) -> dict[str, Any]:
        """Return PostHog's answer to the SDK's first question, with all but events off."""
        return {
            "supportedCompression": ["gzip", "gzip-js"],
            "hasFeatureFlags": False,
            "autocapture_opt_out": False,
            "autocaptureExceptions": False,
            "elementsChainAsString": self.now >= self.story["elements_chain_from"],
            "capturePerformance": False,
            "sessionRecording": False,
            "heatmaps": False,
            "surveys": False,
            "siteApps": [],
        }


class Handler(BaseHTTPRequestHandler):
    """Serves the shop, its two API calls, and ``/ingest`` as PostHog would."""

    shop: Shop
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path == "/posthog.js":
            self._answer(BUNDLE.read_bytes(), TYPES[".js"])
        elif path in ("/shop.js", "/shop.css"):
            self._answer((HERE / f"shop{path}").read_bytes(), TYPES[Path(path).suffix])
        elif path.startswith("/ingest/array/"):
            self._json(self.shop.remote_config())
        else:
            self._answer(self.shop.page(), TYPES[".html"])

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = urlsplit(self.path).path.removeprefix("/ingest")
        if path in EVENT_PATHS:
            headers = self.headers.get("Content-Encoding", ""), self.headers.get("Content-Type", "")
            self._json(self.shop.capture(decode_body(raw, *headers)))
        elif path == "/control/now":
            self.shop.now = json.loads(raw)
            self._json({})
        elif path == "/api/signup":
            self._json(self.shop.sign_up(json.loads(raw)))
        elif path == "/api/orders":
            order = self.shop.place_order(json.loads(raw))
            self._json(order or {"error": "card_declined"}, 200 if order else 402)
        else:
            self._json({"flags": {}, "featureFlags": {}})

    def _json(self, value: Any, status: int = 200) -> None:
        self._answer(json.dumps(value).encode(), "application/json", status)

    def _answer(self, body: bytes, content_type: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet: the recorder prints its own summary."""


def make_certificate(folder: Path) -> ssl.SSLContext:
    """Return a TLS context with a certificate of the day, so that the shop is an https site."""
    pem = folder / "shop.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=shop.example.com"
    files = ["-keyout", pem, "-out", pem]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def serve(shop: Shop, context: ssl.SSLContext | None = None) -> ThreadingHTTPServer:
    """Start a server on a free loopback port, with TLS where a context is given."""
    handler = type("ShopHandler", (Handler,), {"shop": shop})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
