"""GGUF F16 -> Q8_0, Q4_K_M and others by llama.cpp's own quantiser, in a child process: bad input may abort it."""

from __future__ import annotations

import sys
from pathlib import Path

from so8t.build.export.child import run_child, written_by_child
from so8t.core.errors import GgufInvalid

FILE_TYPES = {"Q8_0": 7, "Q4_K_M": 15, "Q5_K_M": 17, "Q6_K": 18}  # enum llama_ftype
_PROGRAM = """
import sys
import cyllama.llama.llama_cpp as llama
llama.disable_logging()
params = llama.LlamaModelQuantizeParams()
params.ftype, params.nthread = int(sys.argv[3]), int(sys.argv[4])
llama.model_quantize(sys.argv[1], sys.argv[2], params)
"""


def quantise(
    source: Path, out: Path, quantisation: str, *, quantiser: str = "auto", threads: int = 2,
    importance: Path | None = None,
) -> None:  # fmt: skip
    """Write `out`. `quantiser` "auto" uses the cyllama package, else it is the path of a llama-quantize program.

    `importance` = a file of importance.py (llama.cpp's imatrix); None = every column of a matrix counts alike.
    Raises GgufInvalid with the quantiser's last words, PackageMissing when there is none, DiskFull.
    """
    if quantisation not in FILE_TYPES:
        raise GgufInvalid(where=source, detail=f"{quantisation} ({', '.join(FILE_TYPES)})")
    with written_by_child(out) as partial:
        files, given = [str(source), str(partial)], str(importance) if importance else ""
        if quantiser == "auto":
            command = [sys.executable, "-c", _PROGRAM, *files, str(FILE_TYPES[quantisation]), str(threads)]
        else:
            command = [quantiser, *(["--imatrix", given] if given else []), *files, quantisation, str(threads)]
        run_child(command, source, quantisation, partial)
        if given and quantiser == "auto":  # cyllama cannot hand an imatrix on
            again = [sys.executable, "-m", "so8t.build.export.requantise", *files, given, str(threads)]
            run_child(again, source, f"{quantisation}, importance", partial)
