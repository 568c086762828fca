"""Plain text from what the package ships and from local .txt and .jsonl files or folders of them (SPEC D1)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from so8t.core.errors import RecordInvalid, SourceEmpty, SourceMissing
from so8t.core.files import read_jsonl, read_lines
from so8t.core.text import clean, sentences
from so8t.core.types import Domain

STARTER = "starter"
LONGEST = 800  # characters of one training text; longer documents are cut between sentences
SUFFIXES = (".txt", ".jsonl")


@dataclass(frozen=True, slots=True)
class Document:
    """A piece of text and where it came from. `domain` None = to be classified."""

    text: str
    source: str
    license: str
    place: str
    domain: Domain | None = None


def read_sources(sources: tuple[str, ...]) -> Iterator[Document]:
    """Documents of every source in order. Raises SourceMissing, SourceEmpty, SourceUnreadable, RecordInvalid."""
    if not sources:
        raise SourceEmpty(where="collect.sources")
    for source in sources:
        count = 0
        for document in _read(source):
            for piece in split_long(document.text):
                count += 1
                yield Document(piece, document.source, document.license, document.place, document.domain)
        if not count:
            raise SourceEmpty(where=source)


def _read(source: str) -> Iterator[Document]:
    for path in source_files(source):
        yield from _read_jsonl(path) if path.suffix == ".jsonl" else _read_txt(path)


def source_files(source: str) -> list[Path]:
    """The files a source stands for; links to folders are not followed."""
    if source == STARTER:
        return sorted(Path(str(resources.files("so8t.resources") / "corpus")).glob("*.jsonl"))
    path = Path(source).expanduser()
    if path.is_dir():
        return sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.is_file())
    if not path.is_file():
        raise SourceMissing(where=path)
    return [path]


def _read_jsonl(path: Path) -> Iterator[Document]:
    for number, record in read_jsonl(path):
        text = record.get("text")
        if not isinstance(text, str):
            raise RecordInvalid(where=f"{path}:{number}", detail="text")
        try:
            domain = Domain(record["domain"]) if "domain" in record else None
        except ValueError as error:
            raise RecordInvalid(where=f"{path}:{number}", detail=str(error)) from error
        source, license_ = str(record.get("source", path.name)), str(record.get("license", "unknown"))
        yield Document(clean(text), source, license_, f"{path.name}:{number}", domain)


def _read_txt(path: Path) -> Iterator[Document]:
    """Paragraphs are separated by blank lines."""
    lines: list[str] = []
    begin = 1
    for number, line in read_lines(path):
        if line.strip():
            begin = begin if lines else number
            lines.append(line.strip())
        elif lines:
            yield Document(clean("\n".join(lines)), path.name, "unknown", f"{path.name}:{begin}")
            lines = []
    if lines:
        yield Document(clean("\n".join(lines)), path.name, "unknown", f"{path.name}:{begin}")


def split_long(text: str, longest: int = LONGEST) -> Iterator[str]:
    """Cut between sentences so that no piece is longer than `longest` where a sentence allows it."""
    if len(text) <= longest:
        if text:
            yield text
        return
    piece = ""
    for sentence in sentences(text):
        if piece and len(piece) + len(sentence) > longest:
            yield piece
            piece = ""
        piece += sentence
    if piece:
        yield piece
