"""The words of Event Viewer: both languages, every id, and a message file that others read as we do."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from so8t.core.errors import PackageMissing, RecordInvalid, SourceMissing, SourceUnreadable
from so8t.core.packaged import packaged
from so8t.operate.eventlog import message_file
from so8t.operate.eventlog.event import EventId
from so8t.operate.eventlog.message_file import (
    MINGW,
    NAME,
    compile_message_file,
    dll,
    read_message_file,
    write_message_file,
)
from so8t.operate.eventlog.messages import (
    ENGLISH,
    JAPANESE,
    decode_table,
    encode_table,
    packaged_messages,
    read_messages,
    rendered,
)

LINE = "so8t seq=12 id=1003"
TEXTS = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40)
TABLES = st.dictionaries(st.integers(0, 0xFFFF_FFFE), TEXTS, min_size=1, max_size=12)
OBJDUMP = shutil.which(MINGW + "objdump")
needs_mingw = pytest.mark.skipif(not shutil.which(MINGW + "windmc"), reason="no mingw-w64 here")
WINE = next((p for p in ("/usr/lib/wine/wine64", shutil.which("wine64")) if p and Path(p).exists()), None)


def test_every_id_in_both_languages() -> None:
    tables = packaged_messages()
    assert tables.keys() == {JAPANESE, ENGLISH}
    for language, table in tables.items():
        assert list(table) == [int(i) for i in EventId]
        for text in table.values():
            assert text.count("%1") == 1 and text.endswith("%n%1%0\n")
            assert bool(re.search(r"[ぁ-ん]", text)) == (language == JAPANESE)


def test_what_is_shown_ends_with_our_line() -> None:
    """exported.py finds it there as well."""
    for table in packaged_messages().values():
        for text in table.values():
            assert rendered(text, LINE).endswith(f"\r\n{LINE}")
    assert rendered("100%% of %1, %2%0 and no more", "a") == "100% of a, %2"


@given(TABLES)
def test_a_table_comes_back(table: dict[int, str]) -> None:
    assert decode_table(encode_table(table)) == table


@given(st.dictionaries(st.integers(1, 0xFFFF), TABLES, min_size=1, max_size=5))
def test_a_dll_comes_back(tmp_path_factory: pytest.TempPathFactory, tables: dict[int, dict[int, str]]) -> None:
    path = tmp_path_factory.getbasetemp() / "some.dll"
    path.write_bytes(dll({language: encode_table(table) for language, table in tables.items()}))
    assert read_message_file(path) == tables


@given(st.binary(max_size=60), st.integers(0, 400))
def test_a_broken_table_is_refused(noise: bytes, cut: int) -> None:
    whole = encode_table(packaged_messages()[ENGLISH])
    for broken in (noise, whole[:cut], whole[:12] + noise + whole[12 + len(noise) :]):
        with suppress(RecordInvalid):
            decode_table(broken)


@given(st.integers(0, 2559), st.integers(0, 255))
def test_a_broken_dll_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, at: int, value: int) -> None:
    path = tmp_path_factory.getbasetemp() / "broken.dll"
    write_message_file(path)
    raw = bytearray(path.read_bytes())
    raw[at] = value
    path.write_bytes(raw)
    with suppress(RecordInvalid):
        read_message_file(path)


@pytest.mark.parametrize("content", [b"", b"MZ", b"MZ".ljust(60, b"\0") + struct.pack("<I", 1 << 30), b"\x7fELF" * 99])
def test_what_is_no_dll(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dll"
    path.write_bytes(content)
    with pytest.raises(RecordInvalid):
        read_message_file(path)


def test_limits_of_a_dll(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceMissing):
        read_message_file(tmp_path / "none.dll")
    path = tmp_path / NAME
    write_message_file(path)
    monkeypatch.setattr(message_file, "MAX_FILE", 100)
    with pytest.raises(SourceUnreadable, match="> 100 bytes"):
        read_message_file(path)


@pytest.mark.parametrize(
    "source",
    ["MessageId=+1", "Language=Japanese", "#include <x>", "MessageId=1\nLanguage=French\nx\n.",
     "LanguageNames=(Japanese=0x411:MSG00411)\nMessageId=1\nOutputBase=16"],
)  # fmt: skip
def test_statements_that_we_do_not_use_are_refused(source: str) -> None:
    with pytest.raises(RecordInvalid, match=r"so8t\.mc:"):
        read_messages(source)


def test_the_same_words_give_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_message_file(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert len((tmp_path / "a").read_bytes()) < 4096
    assert read_message_file(tmp_path / "a") == packaged_messages()


def test_without_a_compiler_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PackageMissing, match="windmc"):
        compile_message_file(tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []


@needs_mingw
def test_the_message_compiler_makes_the_same_tables(tmp_path: Path) -> None:
    source = str(packaged("windows", "so8t.mc").resolve())
    command = [f"{MINGW}windmc", "-C", "65001", "-U", "-b", "-h", ".", "-r", ".", source]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=60)
    for language, table in packaged_messages().items():
        assert (tmp_path / f"so8t_MSG{language:05x}.bin").read_bytes() == encode_table(table)


@needs_mingw
def test_mingw_makes_a_dll_with_the_same_words(tmp_path: Path) -> None:
    for name in ("a", "b"):
        compile_message_file(tmp_path / name)
    assert read_message_file(tmp_path / "a") == packaged_messages()
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()  # no time in it


@pytest.mark.skipif(OBJDUMP is None, reason="no mingw-w64 here")
def test_another_reader_finds_no_fault_with_our_dll(tmp_path: Path) -> None:
    write_message_file(tmp_path / NAME)
    shown = subprocess.run(
        [str(OBJDUMP), "-x", str(tmp_path / NAME)], capture_output=True, encoding="utf-8", check=True, timeout=60
    ).stdout
    assert "Corrupt" not in shown and "pei-x86-64" in shown
    assert re.findall(r"Entry: ID: 0x0*(\w+),", shown) == ["b", "1", "409", "411"]
    tables = packaged_messages()
    sizes = [int(size, 16) for size in re.findall(r"Leaf: Addr: 0x\w+, Size: (0x\w+)", shown)]
    assert sizes == [len(encode_table(tables[language])) for language in (ENGLISH, JAPANESE)]


ASK = r"""
#include <windows.h>
#include <stdio.h>
int wmain(int n, wchar_t **a) {
    HMODULE file = LoadLibraryExW(a[1], 0, LOAD_LIBRARY_AS_DATAFILE | LOAD_LIBRARY_AS_IMAGE_RESOURCE);
    if (!file) { printf("load %lu\n", GetLastError()); return 1; }
    DWORD languages[] = {0x411, 0x409};
    for (int l = 0; l < 2; l++) for (DWORD id = 1001; id <= 1007; id++) {
        wchar_t *text = 0; char line[2048] = ""; DWORD_PTR inserts[] = {(DWORD_PTR)L"LINE"};
        if (!FormatMessageW(FORMAT_MESSAGE_ALLOCATE_BUFFER | FORMAT_MESSAGE_FROM_HMODULE |
            FORMAT_MESSAGE_ARGUMENT_ARRAY, file, id, languages[l], (wchar_t *)&text, 0, (va_list *)inserts)) {
            printf("%lu %lu\n", id, GetLastError()); return 1; }
        WideCharToMultiByte(CP_UTF8, 0, text, -1, line, sizeof line, 0, 0);
        printf("%lx %lu ", languages[l], id);
        for (char *c = line; *c; c++) printf("%02x", (unsigned char)*c);
        printf("\n");
    }
    return 0;
}
"""


@pytest.mark.slow
@needs_mingw
@pytest.mark.skipif(WINE is None, reason="no Wine here")
@pytest.mark.parametrize("make", [write_message_file, compile_message_file], ids=["ours", "mingw"])
def test_wines_format_message_shows_the_words(tmp_path: Path, make: object) -> None:
    """A second implementation of Windows' own function reads the file and puts in the line."""
    make(tmp_path / NAME)  # type: ignore[operator]
    (tmp_path / "ask.c").write_text(ASK, encoding="ascii")
    gcc = [f"{MINGW}gcc", "-municode", "-o", "ask.exe", "ask.c"]
    subprocess.run(gcc, cwd=tmp_path, check=True, timeout=120)
    environment = {"WINEPREFIX": str(tmp_path / "wine"), "WINEDEBUG": "-all", "PATH": "/usr/bin:/bin",
                   "HOME": str(tmp_path), "WINEDLLOVERRIDES": "mscoree,mshtml="}  # fmt: skip
    done = subprocess.run(
        [str(WINE), "ask.exe", NAME], cwd=tmp_path, env=environment, capture_output=True, timeout=240, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    subprocess.run(["wineserver", "-k"], env=environment, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr[-500:]
    shown = {}
    for line in done.stdout.decode().splitlines():
        language, number, text = line.split()
        shown[int(language, 16), int(number)] = bytes.fromhex(text).decode("utf-8")
    expected = {(k, n): rendered(text, "LINE") for k, table in packaged_messages().items() for n, text in table.items()}
    assert shown == expected
