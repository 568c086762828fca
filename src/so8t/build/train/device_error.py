"""What an error says of the device: out of memory, which a smaller batch cures, or lost, which a restart does.

Texts as torch, CUDA, NVML, Windows and the system's allocator write them (SPEC T4, issue "lost GPU").
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Literal

import torch

Trouble = Literal["memory", "lost"]
WINDOWS_PAGING_FILE = 1455  # ERROR_COMMITMENT_LIMIT

MEMORY = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "paging file is too small",
    "std::bad_alloc",
    "cublas_status_alloc_failed",
    "cudnn_status_alloc_failed",
    "cudacachingallocator.cpp",  # a failing assertion there is out of memory that could not be described
)
LOST = (
    "device-side assert triggered",  # "to enable device-side assertions" ends every text of CUDA's
    "unspecified launch failure",
    "illegal memory access",
    "illegal instruction",
    "misaligned address",
    "launch timed out",
    "gpu is lost",
    "no cuda-capable device",
    "no cuda gpus are available",
    "busy or unavailable",
    "driver shutting down",
    "cuda driver error: unknown error",
    "cuda error: unknown error",
    "uncorrectable ecc error",
    "hardware stack error",
    "cublas_status_execution_failed",
    "cublas_status_internal_error",
    "cublas_status_not_initialized",
    "cublas_status_mapping_error",
    "cudnn_status_execution_failed",
    "cudnn_status_internal_error",
    "cudnn_status_not_initialized",
    "cudnn_status_mapping_error",
    "unhandled cuda error",
)
# A wrong build or a wrong call: neither a restart nor a smaller batch helps, so the error itself must be seen.
OTHER = (
    "no kernel image",
    "invalid kernel file",
    "invalid device function",
    "invalid device ordinal",
    "invalid argument",
    "not permitted",
    "not supported",
)


def classify(error: BaseException) -> Trouble | None:
    """ "memory", "lost", or None for an error that is not the device's. Looks at what it was raised from as well."""
    for one in _chain(error):
        if (found := _of_one(one)) is not None:
            return found
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__


def _of_one(error: BaseException) -> Trouble | None:
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return "memory"
    if isinstance(error, OSError):
        short = error.errno == errno.ENOMEM or getattr(error, "winerror", None) == WINDOWS_PAGING_FILE
        return "memory" if short or _names(error, ("paging file is too small",)) else None
    if not isinstance(error, RuntimeError):
        return None
    if _names(error, MEMORY):
        return "memory"
    if _names(error, OTHER):
        return None
    return "lost" if isinstance(error, torch.AcceleratorError) or _names(error, LOST) else None


def _names(error: BaseException, texts: tuple[str, ...]) -> bool:
    words = str(error).lower()
    return any(text in words for text in texts)
