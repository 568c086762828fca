"""What a browser posts: bounded, urlencoded, from a page of ours."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, urlsplit

from starlette.requests import Request as HttpRequest

from so8t.core.errors import NotPermitted, RecordInvalid
from so8t.operate.intake.upload import Upload, upload
from so8t.operate.server.body import read_bytes
from so8t.operate.server.multipart import MULTIPART, Part, parse

MAX_FORM = 512 << 10  # the longest query or answer, percent-encoded
MAX_FIELDS = 64
FILES = ("images",)  # names of file inputs
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields of one form, line breaks as \\n. Never in a repr: a password may be among them."""

    fields: dict[str, list[str]] = field(default_factory=dict, repr=False)
    files: tuple[Upload, ...] = field(default=(), repr=False)

    def one(self, name: str, longest: int = 20_000) -> str:
        """The value of a field, "" without it. Raises RecordInvalid for two values and for one too long."""
        values = self.fields.get(name, [""])
        if len(values) != 1 or len(values[0]) > longest:
            raise RecordInvalid(where=name, detail=f"one value of at most {longest} characters expected")
        return values[0]

    def many(self, name: str) -> list[str]:
        return self.fields.get(name, [])


async def read_form(http: HttpRequest, seconds: float | None = None, most: int = 0) -> Form:
    """`most`: bytes of a form with files, 0 = none may come. Raises RecordInvalid for anything but a form,
    BodyTooLarge, BodyTooSlow.
    """
    told = http.headers.get("content-type", "")
    if most and told.partition(";")[0].strip().lower() == MULTIPART:
        return _with_files(parse(told, await read_bytes(http, most, seconds)))
    if http.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise RecordInvalid(where="content-type", detail=FORM)
    raw = await read_bytes(http, MAX_FORM, seconds)
    fields = defaultdict[str, list[str]](list)
    try:
        pairs = parse_qsl(raw.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise RecordInvalid(where="form", detail=f"UTF-8, at most {MAX_FIELDS} fields") from None
    for name, value in pairs:
        fields[name].append(_lines(value))
    return Form(dict(fields))


def _with_files(parts: list[Part]) -> Form:
    """A file input that was left empty sends a part without name and content."""
    fields, files = defaultdict[str, list[str]](list), list[Upload]()
    for part in parts:
        if part.filename:
            files.append(upload(part.content, part.name, part.filename))
        elif part.name not in FILES:
            try:
                text = part.content.decode("utf-8")
            except UnicodeDecodeError:
                raise RecordInvalid(where=part.name, detail="UTF-8") from None
            fields[part.name].append(_lines(text))
    return Form(dict(fields), tuple(files))


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def check_origin(http: HttpRequest) -> None:
    """Raises NotPermitted unless the browser says that a page of this server sent it (OWASP CSRF, Fetch Metadata).

    Sec-Fetch-Site cannot be set by a page; where a browser has none, Origin must be the very host that was asked.
    """
    site = http.headers.get("sec-fetch-site")
    if site is not None:
        if site != "same-origin":
            raise NotPermitted(detail="Sec-Fetch-Site")
        return
    origin = urlsplit(http.headers.get("origin", ""))
    if origin.scheme not in ("http", "https") or origin.netloc.lower() != http.headers.get("host", "").lower():
        raise NotPermitted(detail="Origin")
