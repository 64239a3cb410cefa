"""
A FakeTwilio behind a real socket on loopback, misbehaving as servers really do.

In a test: ``with StandIn() as stand_in, stand_in.client() as client: ...``, with
``stand_in.fake`` for outbox and scripts.  From another process::

    python tests/twilio_stand_in.py --port 0 --log accepted.jsonl --delay-after 0.2

which prints ``listening on http://127.0.0.1:PORT`` and logs each accepted message as a
JSON line before it answers.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import struct
import sys
import threading
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from posthog_twilio.fake import FakeTwilio, Reply, Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import Self

HOST = "127.0.0.1"
SID = "AC" + "0123456789abcdef" * 2
TOKEN = "fedcba9876543210" * 2
WIRE_FAILURES = ("hang", "reset", "cut", "broken", "empty")
"""The words of FakeTwilio.fail that a server can act out; statuses it can all."""


class StandIn:
    """
    A server around *fake*; its own knobs are what only a wire can do.

    Args:
        fake: what answers; a new FakeTwilio by default.
        port: 0 picks a free one.
        delay_before: seconds between reading a request and handling it.
        delay_after: seconds between handling a request and answering it.
        log: a file that gets each accepted message as a JSON line.

    Attributes:
        drip: seconds to wait after each byte of an answer.
        connections: how many were accepted so far.

    """

    def __init__(
        self,
        fake: FakeTwilio | None = None,
        *,
        port: int = 0,
        delay_before: float = 0.0,
        delay_after: float = 0.0,
        log: str | os.PathLike[str] | None = None,
    ) -> None:
        self.fake = fake or FakeTwilio()
        self.port = port
        self.delay_before = delay_before
        self.delay_after = delay_after
        self.drip = 0.0
        self.connections = 0
        self._log = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND) if log else None
        self._logging = threading.Lock()
        self._released = threading.Event()
        self._errors: list[BaseException] = []
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None
        self._placeholder: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._placeholder:
            self._placeholder.close()
        if self._log is not None:
            os.close(self._log)
        if self._errors:
            raise RuntimeError("the stand-in itself failed") from self._errors[0]

    def open(self) -> None:
        """Listen, again on the same port after :meth:`close`."""
        if self._placeholder:
            self._placeholder.close()
        self._released.clear()
        self._server = _Server((HOST, self.port), self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        """Hang up on everybody and refuse connections until :meth:`open`."""
        if not (self._server and self._thread):
            return
        self._released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.drop_connections()
        self._server.server_close()
        self._server = None
        # Bound but not listening: nobody else gets the port, and a client that
        # tries it cannot by chance connect to itself.
        self._placeholder = _bound(self.port)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """No connection while this lasts."""
        self.close()
        try:
            yield
        finally:
            self.open()

    def fail(self, what: int | str, **how: Any) -> None:
        """Script ``fake.fail``, for what a server can act out."""
        if isinstance(what, str) and what not in WIRE_FAILURES:
            raise ValueError(f"what: expected a status or one of {WIRE_FAILURES}, got {what!r}")
        self.fake.fail(what, **how)

    def release(self) -> None:
        """End all hanging requests, now and until the next :meth:`open`, with no answer."""
        self._released.set()

    def drop_idle(self) -> None:
        """Close every open connection, as a proxy does with idle ones."""
        assert self._server
        self._server.drop_connections()

    def deafen(self) -> None:
        """Never read the connections that are open now again; new ones work."""
        assert self._server
        self._server.deafen()

    @contextmanager
    def client(self, *, connect: float = 5.0, read: float = 5.0) -> Iterator[Any]:
        """Lend the official SDK's client, pointed here, with time limits in seconds."""
        from twilio.http.http_client import TwilioHttpClient
        from twilio.rest import Client

        http_client = TwilioHttpClient()
        http_client.timeout = (connect, read)
        client = Client(SID, TOKEN, http_client=http_client, environment={"_": ""})
        client.api.base_url = client.messaging.base_url = self.url
        try:
            yield client
        finally:
            http_client.session.close()

    def _wait(self, seconds: float) -> None:
        if seconds:
            self._released.wait(seconds)

    def _answer(self, request: Request) -> Reply:
        if self._log is None:
            return self.fake.answer(request)
        with self._logging:
            before = len(self.fake.outbox)
            reply = self.fake.answer(request)
            for message in self.fake.outbox[before:]:
                line = {"sid": message.sid, "to": message.to, "body": message.body}
                os.write(self._log, json.dumps({**line, "from": message.from_}).encode() + b"\n")
        return reply


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], stand_in: StandIn) -> None:
        self.stand_in = stand_in
        self.open: dict[socket.socket, str] = {}
        self.lock = threading.Lock()
        super().__init__(address, _Handler)

    def process_request(self, request: Any, address: Any) -> None:
        with self.lock:
            self.open[request] = "open"
            self.stand_in.connections += 1
        super().process_request(request, address)

    def drop_connections(self) -> None:
        with self.lock:
            for connection in self.open:
                _hang_up(connection)

    def deafen(self) -> None:
        with self.lock:
            self.open.update(dict.fromkeys(self.open, "deaf"))

    def reset(self, connection: socket.socket) -> None:
        # Closing with a linger time of zero sends RST, not FIN.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with self.lock:
            self.open[connection] = "reset"

    def shutdown_request(self, request: Any) -> None:
        with self.lock:
            state = self.open.pop(request, "open")
        if state != "reset":
            _hang_up(request)
        self.close_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exc_info()[1]
        if error and not isinstance(error, ConnectionError):
            self.stand_in._errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._handle(None)

    def do_POST(self) -> None:
        self._handle(self.rfile.read(int(self.headers["Content-Length"])).decode())

    def _handle(self, body: str | None) -> None:
        stand_in = self.server.stand_in
        if self.server.open.get(self.connection) == "deaf":
            return self._hang()
        stand_in._wait(stand_in.delay_before)
        authorization = self.headers.get("Authorization")
        reply = stand_in._answer(Request.parse(self.command, self.path, authorization, body))
        stand_in._wait(stand_in.delay_after)
        return self._send(reply)

    def _send(self, reply: Reply) -> None:
        if reply.failure == "hang":
            self._hang()
        elif reply.failure == "reset":
            self.server.reset(self.connection)
            self.close_connection = True
        elif reply.failure == "cut":
            whole = _render(reply)
            self.wfile.write(whole[: -len(reply.body.encode()) // 2])
            self.close_connection = True
        elif reply.failure:
            raise ValueError(f"a server cannot act out {reply.failure!r}")
        else:
            self._drip(_render(reply))

    def _drip(self, whole: bytes) -> None:
        step = 1 if self.server.stand_in.drip else len(whole)
        for start in range(0, len(whole), step):
            self.wfile.write(whole[start : start + step])
            self.server.stand_in._wait(self.server.stand_in.drip)

    def _hang(self) -> None:
        self.server.stand_in._released.wait()
        self.close_connection = True


def _render(reply: Reply) -> bytes:
    body = reply.body.encode()
    headers = {**reply.headers, "Content-Length": len(body)}
    lines = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # the client may have been faster
        connection.shutdown(socket.SHUT_RDWR)


def _bound(port: int) -> socket.socket:
    placeholder = socket.socket()
    placeholder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    placeholder.bind((HOST, port))
    return placeholder


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description="A Twilio on loopback.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", help="a file for the accepted messages, as JSON lines")
    parser.add_argument("--delay-before", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--delay-after", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--list-delay", type=float, default=0.0, metavar="SECONDS")
    given = parser.parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with StandIn(
        FakeTwilio(list_delay=given.list_delay),
        port=given.port,
        log=given.log,
        delay_before=given.delay_before,
        delay_after=given.delay_after,
    ) as stand_in:
        print(f"listening on {stand_in.url}", flush=True)  # noqa: T201
        stop.wait()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
