"""multipart/form-data (RFC 7578) in memory: what is uploaded never lies unsealed on a disk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from so8t.core.errors import RecordInvalid

MULTIPART = "multipart/form-data"
MAX_PARTS = 80
MAX_HEADERS = 4096  # bytes of one part's


@dataclass(frozen=True, slots=True)
class Part:
    """A field of a form. filename "" = no file. Not in a repr: a password may be among them."""

    name: str
    filename: str
    content: bytes = field(repr=False)


class _Reading:
    """Takes the parser's notices; at the end `parts` are whole."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.ended = False
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value, self._content, self._size = bytearray(), bytearray(), bytearray(), 0

    def callbacks(self) -> dict[str, Callable[..., None]]:
        return {
            "on_part_begin": self._begin, "on_part_data": self._data, "on_part_end": self._end,
            "on_header_field": self._field, "on_header_value": self._said, "on_header_end": self._header,
            "on_end": self._whole,
        }  # fmt: skip

    def _begin(self) -> None:
        if len(self.parts) >= MAX_PARTS:
            raise RecordInvalid(where="form", detail=f"> {MAX_PARTS} fields")
        self._headers, self._content, self._size = {}, bytearray(), 0

    def _data(self, data: bytes, start: int, end: int) -> None:
        self._content += data[start:end]

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._bounded(end - start)
        self._name += data[start:end]

    def _said(self, data: bytes, start: int, end: int) -> None:
        self._bounded(end - start)
        self._value += data[start:end]

    def _bounded(self, more: int) -> None:
        self._size += more
        if self._size > MAX_HEADERS:
            raise RecordInvalid(where="form", detail=f"headers of a field > {MAX_HEADERS} bytes")

    def _header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _end(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        if kind != b"form-data" or not options.get(b"name"):
            raise RecordInvalid(where="form", detail="a field without a name")
        name, filename = (options.get(key, b"").decode("utf-8", "replace") for key in (b"name", b"filename"))
        self.parts.append(Part(name, filename, bytes(self._content)))

    def _whole(self) -> None:
        self.ended = True


def parse(content_type: str, body: bytes) -> list[Part]:
    """The fields in their order. Raises RecordInvalid for what is broken or cut off."""
    kind, options = parse_options_header(content_type.encode("latin-1", "replace"))
    if kind != MULTIPART.encode() or not options.get(b"boundary"):
        raise RecordInvalid(where="content-type", detail=MULTIPART)
    reading = _Reading()
    try:
        parser = MultipartParser(options[b"boundary"], reading.callbacks())  # type: ignore[arg-type]
        parser.write(body)
        parser.finalize()
    except (FormParserError, ValueError) as error:
        raise RecordInvalid(where="form", detail=type(error).__name__) from error
    if not reading.ended:
        raise RecordInvalid(where="form", detail="cut off")
    return reading.parts
