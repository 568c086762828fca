"""GGUF F16 -> Q8_0, Q4_K_M by llama.cpp's own quantiser, in a child process: it may abort the process on bad input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from so8t.core.errors import GgufInvalid, PackageMissing

FILE_TYPES = {"Q8_0": 7, "Q4_K_M": 15}  # enum llama_ftype
_PROGRAM = """
import sys
import cyllama.llama.llama_cpp as llama
llama.disable_logging()
params = llama.LlamaModelQuantizeParams()
params.ftype, params.nthread = int(sys.argv[3]), int(sys.argv[4])
llama.model_quantize(sys.argv[1], sys.argv[2], params)
"""


def quantise(source: Path, out: Path, quantisation: str, *, quantiser: str = "auto", threads: int = 2) -> None:
    """Write `out`. `quantiser` "auto" uses the cyllama package, else it is the path of a llama-quantize program.

    Raises GgufInvalid with the quantiser's last words, PackageMissing when there is none.
    """
    if quantisation not in FILE_TYPES:
        raise GgufInvalid(where=source, detail=f"{quantisation} ({', '.join(FILE_TYPES)})")
    partial = out.with_name(f".{out.name}.partial")
    if quantiser == "auto":
        command = [
            sys.executable,
            "-c",
            _PROGRAM,
            str(source),
            str(partial),
            str(FILE_TYPES[quantisation]),
            str(threads),
        ]
    else:
        command = [quantiser, str(source), str(partial), quantisation, str(threads)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=7200, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PackageMissing(where=quantiser, detail=type(error).__name__) from error
    words = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if "ModuleNotFoundError" in (words[-1] if words else ""):
        raise PackageMissing(detail="cyllama")
    if done.returncode != 0 or not partial.is_file():
        raise GgufInvalid(where=source, detail=f"{quantisation}: exit {done.returncode} {words[-1] if words else ''}")
    partial.replace(out)
