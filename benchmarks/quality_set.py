"""The labelled set that `so8t score` is held to: real good Japanese, and junk of the kinds that crawls are full of.

Frozen by commit before any tuning: `quality_set.json` holds the digest of each half, and building it from other text
says so. `dev` may be looked at, `test` is for the figures only. The texts themselves stay out of the repository.

    python3 benchmarks/quality_set.py --wikipedia FILE.jsonl.gz --debian DIR [--freeze]

--wikipedia: JSON lines with title and text, one paragraph a line, in the order of the articles (JaQuAD's passages).
--debian: a folder of unpacked Debian packages (dpkg-deb -x): debian-reference-ja developers-reference-ja gimp-help-ja
libreoffice-help-ja debian-handbook lilypond-doc-html-ja, and for Chinese manpages-zh libreoffice-help-zh-cn
debian-reference-zh-cn.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser

HERE = Path(__file__).resolve().parent
FROZEN = HERE / "quality_set.json"
JUNK = HERE / "data" / "junk.jsonl"
COUNTS = {"encyclopaedia": 700, "article": 350, "manual": 500, "chinese": 200, "repeated": 150, "mojibake": 150}
COUNTS |= {"shuffled words": 200, "shuffled letters": 80, "title list": 80, "navigation (real)": 150}
GOOD = ("encyclopaedia", "article", "manual", "prose")
JA_BOOKS = ("debian-reference-ja", "developers-reference-ja", "gimp-help-ja", "libreoffice-help-ja", "debian-handbook")
ZH_BOOKS = ("libreoffice-help-zh-cn", "debian-reference-zh-cn")
_TOKEN = re.compile(r"[ァ-ヴー]+|[一-鿿々]+|[ぁ-ん]+|[A-Za-z0-9]+|[^\s]")
_HAN = re.compile(r"[一-鿿]")
_SENTENCE = re.compile(r"[^。\n]+。")


@dataclass(frozen=True, slots=True)
class Labelled:
    """One text of the set. half = dev or test, decided by `group` (article, page), so that no group is in both."""

    kind: str
    text: str
    group: str

    @property
    def good(self) -> bool:
        return self.kind in GOOD

    @property
    def half(self) -> str:
        return "test" if hashlib.sha256(self.group.encode()).digest()[0] % 2 else "dev"

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.kind}\0{self.text}".encode()).hexdigest()


def build(wikipedia: Path, debian: Path) -> list[Labelled]:
    """The whole set, deterministic."""
    paragraphs = read_paragraphs(wikipedia)
    rows = [*encyclopaedia(paragraphs), *articles(paragraphs), *manuals(debian), *chinese(debian)]
    rows += [*spoiled(paragraphs), *navigation(debian), *written()]
    pools: dict[str, list[Labelled]] = {}
    for row in rows:
        pools.setdefault(row.kind, []).append(row)
    chosen: list[Labelled] = []
    for kind, pool in pools.items():
        unique = {row.digest: row for row in pool}
        chosen += [unique[d] for d in sorted(unique)][: COUNTS.get(kind, len(pool))]
    return chosen


def read_paragraphs(path: Path) -> list[tuple[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as f:
        return [(r["title"], r["text"]) for r in map(json.loads, f)]


def encyclopaedia(paragraphs: list[tuple[str, str]]) -> Iterator[Labelled]:
    for title, text in paragraphs:
        if len(text) >= 100:
            yield Labelled("encyclopaedia", text, title)


def articles(paragraphs: list[tuple[str, str]]) -> Iterator[Labelled]:
    """The first paragraphs of an article put together until there are more than 1,000 characters."""
    for title, group in itertools.groupby(paragraphs, key=lambda p: p[0]):
        text = ""
        for _, paragraph in group:
            text += paragraph + "\n"
            if len(text) > 1000:
                yield Labelled("article", text.strip(), title)
                text = ""


def manuals(debian: Path) -> Iterator[Labelled]:
    """Two to six paragraphs in a row of a manual's page, as they stand, code words and all."""
    for path in pages(debian, JA_BOOKS, "ja"):
        found = [p for p in prose(path) if len(p) >= 25 and "。" in p]
        for start in range(0, len(found), 4):
            text = "\n".join(found[start : start + 4])
            if len(text) >= 150:
                yield Labelled("manual", text[:1500], path.name)


def chinese(debian: Path) -> Iterator[Labelled]:
    for path in pages(debian, ZH_BOOKS, "zh"):
        found = [p for p in prose(path) if len(p) >= 15]
        for start in range(0, len(found), 5):
            text = "\n".join(found[start : start + 5])
            if len(_HAN.findall(text)) >= 0.4 * len(text) >= 48:
                yield Labelled("chinese", text[:1200], path.name)
    for path in sorted((debian / "manpages-zh").rglob("zh_CN/**/*.gz")):
        if path.is_file() and not path.is_symlink():
            lines = gzip.decompress(path.read_bytes()).decode("utf-8", "replace").splitlines()
            text = "\n".join(line for line in lines if not line.startswith((".", "'")))[:800]
            if len(_HAN.findall(text)) >= 0.4 * len(text) >= 48:
                yield Labelled("chinese", text, path.name)


def spoiled(paragraphs: list[tuple[str, str]]) -> Iterator[Labelled]:
    """Good paragraphs broken in the ways that conversions and spinners break them."""
    for number, (title, text) in enumerate(paragraphs):
        rng = random.Random(number)
        if len(text) < 150:
            continue
        sentences = _SENTENCE.findall(text)
        if sentences:
            yield Labelled("repeated", rng.choice(sentences).strip() * rng.randint(8, 14), title)
        raw = text[:500]
        wrong = rng.choice((("utf-8", "cp932"), ("utf-8", "latin-1"), ("euc-jp", "cp932"), ("cp932", "euc-jp")))
        yield Labelled("mojibake", raw.encode(wrong[0], "replace").decode(wrong[1], "replace"), title)
        tokens = _TOKEN.findall(text)
        rng.shuffle(tokens)
        yield Labelled("shuffled words", "".join(tokens), title)
        letters = list(text[:500])
        rng.shuffle(letters)
        yield Labelled("shuffled letters", "".join(letters), title)
        if number % 20 == 0:
            names = [paragraphs[rng.randrange(len(paragraphs))][0] for _ in range(rng.randint(20, 60))]
            yield Labelled("title list", rng.choice(("、", " ", "\n", "・", " | ")).join(names), title)


def navigation(debian: Path) -> Iterator[Labelled]:
    """What pages show beside their text: link lists, tables of contents, indexes."""
    for path in pages(debian, (*JA_BOOKS, "lilypond-doc-html-ja"), "ja"):
        tree = LexborHTMLParser(path.read_bytes())
        for node in tree.css("nav, .navheader, .navfooter, .toc, .nav_table, #tocframe, table.header, .index, ul.toc"):
            text = re.sub(r"[ \t]+", " ", node.text(separator=" ", strip=True)).strip()
            if len(text) >= 60:
                yield Labelled("navigation (real)", text[:900], path.name)


def written() -> Iterator[Labelled]:
    for line in JUNK.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield Labelled(row["kind"], row["text"], row["id"])


def pages(debian: Path, packages: tuple[str, ...], language: str) -> Iterator[Path]:
    for package in packages:
        for path in sorted((debian / package).rglob("*.html")):
            name = path.as_posix()
            foreign = package in ("debian-handbook",) and "/ja-JP/" not in name
            foreign |= package == "lilypond-doc-html-ja" and not name.endswith(".ja.html")
            if not (foreign or path.is_symlink()) and path.stat().st_size < 2_000_000:
                yield path


def prose(path: Path) -> list[str]:
    """The text of a page's paragraphs, nothing of its lists, menus and tables."""
    tree = LexborHTMLParser(path.read_bytes())
    texts = (re.sub(r"\s+", " ", node.text(separator="", strip=False)).strip() for node in tree.css("p"))
    return [text for text in texts if text]


def digests(rows: list[Labelled]) -> dict[str, object]:
    halves = {}
    for half in ("dev", "test"):
        members = sorted(row.digest for row in rows if row.half == half)
        kinds = sorted({row.kind for row in rows})
        halves[half] = {
            "sha256": hashlib.sha256("\n".join(members).encode()).hexdigest(),
            "counts": {kind: sum(row.kind == kind and row.half == half for row in rows) for kind in kinds},
        }
    return halves


def load(wikipedia: Path, debian: Path) -> list[Labelled]:
    """The set, and a word on standard error when it is not the one that was frozen."""
    rows = build(wikipedia, debian)
    if digests(rows) != json.loads(FROZEN.read_text(encoding="utf-8")):
        print("this set differs from quality_set.json: other package versions? figures do not compare", file=sys.stderr)
    return rows


def source_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wikipedia", type=Path, default=Path("wikipedia.jsonl.gz"), help="JSON lines (.gz) with title and text"
    )
    parser.add_argument("--debian", type=Path, default=Path("debian"), help="folder of unpacked Debian packages")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source_options(parser)
    parser.add_argument("--freeze", action="store_true", help="write quality_set.json")
    parser.add_argument("--show", default="", help="print ten texts of a kind (dev half)")
    options = parser.parse_args()
    rows = build(options.wikipedia, options.debian)
    if options.show:
        for row in [r for r in rows if r.kind == options.show and r.half == "dev"][:10]:
            print(f"--- {row.group}\n{row.text[:400]}")
        return
    found = digests(rows)
    if options.freeze:
        FROZEN.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, ensure_ascii=False, indent=1))


if __name__ == "__main__":
    main()
