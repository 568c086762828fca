"""HTTP/1.1 on the wire: uvicorn's httptools protocol with limits against clients that send too slowly or too much.

uvicorn closes idle connections, but waits for ever for the rest of a head (slowloris) and takes heads of any size.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
MAX_HEAD = 64 << 10  # bytes of the target and all header fields
READ_BYTES = 256 << 10  # what asyncio hands over at once; more of it may be the body


class GuardedHttp(HttpToolsProtocol):
    """A head must be whole within HEAD_SECONDS of the connection or of its first byte, and within MAX_HEAD."""

    _deadline: asyncio.TimerHandle | None = None
    _head = 0  # bytes of the fields that are whole
    _raw = 0  # bytes that came while the head was not whole
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if self._deadline is not None:
            self._raw += len(data)  # a field that never ends reaches no callback
            if self._raw > MAX_HEAD + READ_BYTES:
                self._refuse(b"431 Request Header Fields Too Large")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 0
        if self._deadline is None:
            self._arm()

    def on_url(self, url: bytes) -> None:
        if self._fits(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._fits(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._disarm()
        if not self._refused:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()

    def _fits(self, size: int) -> bool:
        self._head += size
        if self._head > MAX_HEAD and not self._refused:
            self._refuse(b"431 Request Header Fields Too Large")
        return not self._refused

    def _arm(self) -> None:
        self._raw = 0
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._refuse, b"408 Request Timeout")

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: bytes) -> None:
        self._refused = True
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
            self.transport.close()
