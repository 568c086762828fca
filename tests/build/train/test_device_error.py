"""Errors as they were reported by others and as this machine makes them."""

from __future__ import annotations

import errno

import pytest
import torch

from so8t.build.train.device_error import classify
from so8t.core.errors import MemoryShort

TAIL = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be "
    "incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\nCompile with `TORCH_USE_CUDA_DSA` to enable "
    "device-side assertions.\n"
)
MEMORY = [
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 11.76 GiB of which "
    "1.02 GiB is free.",
    "CUDA error: out of memory" + TAIL,
    "[enforce fail at alloc_cpu.cpp:117] data. DefaultCPUAllocator: not enough memory: you tried to allocate "
    "31850496000 bytes.",
    "[enforce fail at alloc_cpu.cpp:75] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate "
    "132426121216 bytes. Error code 12 (Cannot allocate memory)",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    'NVML_SUCCESS == r INTERNAL ASSERT FAILED at "../c10/cuda/CUDACachingAllocator.cpp":830, please report a bug to '
    "PyTorch. ",
    "std::bad_alloc",
]
LOST = [
    "CUDA error: device-side assert triggered" + TAIL,
    "CUDA error: unspecified launch failure" + TAIL,
    "CUDA error: an illegal memory access was encountered" + TAIL,
    "CUDA error: the launch timed out and was terminated" + TAIL,
    "CUDA error: no CUDA-capable device is detected" + TAIL,
    "CUDA error: uncorrectable ECC error encountered" + TAIL,
    "CUDA error: driver shutting down" + TAIL,
    "CUDA error: unknown error" + TAIL,
    "CUDA error: all CUDA-capable devices are busy or unavailable" + TAIL,
    "CUDA error: CUDA-capable device(s) is/are busy or unavailable" + TAIL,
    "No CUDA GPUs are available",
    "Unable to determine the device handle for GPU 0000:02:00.0: GPU is lost.  Reboot the system to recover this GPU",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm( handle, opa, opb, m, n, k, &alpha, a, lda, "
    "b, ldb, &beta, c, ldc)`",
    "CUDA error: CUBLAS_STATUS_INTERNAL_ERROR when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR",
    "NCCL error in: ../torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp:1970, unhandled cuda error",
]
NEITHER = [
    "CUDA error: no kernel image is available for execution on the device" + TAIL,
    "CUDA error: invalid argument" + TAIL,
    "CUDA error: operation not permitted when stream is capturing" + TAIL,
    "CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasGemmEx(...)`",
    "CUDA error: something nobody has seen" + TAIL,
    "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)",
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
    "",
]


@pytest.mark.parametrize("text", MEMORY)
def test_memory(text: str) -> None:
    assert classify(RuntimeError(text)) == "memory"


@pytest.mark.parametrize("text", LOST)
def test_lost(text: str) -> None:
    assert classify(RuntimeError(text)) == "lost"


@pytest.mark.parametrize("text", NEITHER)
def test_neither(text: str) -> None:
    assert classify(RuntimeError(text)) is None


@pytest.mark.parametrize("text", [t for t in NEITHER if t.endswith(TAIL) and "nobody" not in t])
def test_a_wrong_build_or_call_is_no_lost_card(text: str) -> None:
    assert classify(torch.AcceleratorError(text)) is None


def test_this_machine_says_it_so() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50)
    assert classify(caught.value) == "memory"


def test_classes_that_need_no_text() -> None:
    assert classify(torch.OutOfMemoryError("")) == "memory"
    assert classify(MemoryError()) == "memory"
    assert classify(torch.AcceleratorError("CUDA error: something new" + TAIL)) == "lost"
    assert classify(torch.AcceleratorError("CUDA error: out of memory" + TAIL)) == "memory"


def test_the_system_is_short_of_memory() -> None:
    assert classify(OSError(errno.ENOMEM, "Cannot allocate memory")) == "memory"
    text = "[WinError 1455] The paging file is too small for this operation to complete. Error loading torch_cuda.dll"
    assert classify(OSError(text)) == "memory"
    windows = OSError("commitment limit")
    windows.winerror = 1455
    assert classify(windows) == "memory"
    assert classify(OSError(errno.ENOSPC, "No space left on device")) is None


@pytest.mark.parametrize("error", [ValueError("CUDA out of memory"), KeyboardInterrupt(), MemoryShort(detail="x")])
def test_others_are_not_the_device(error: BaseException) -> None:
    assert classify(error) is None


def test_what_it_was_raised_from_counts() -> None:
    try:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        except RuntimeError as inner:
            raise ValueError("in the forward pass of layer 3") from inner
    except ValueError as outer:
        assert classify(outer) == "memory"
    circle = ValueError("a")
    circle.__cause__ = circle
    assert classify(circle) is None
