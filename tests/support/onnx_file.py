"""Small ONNX files, written field by field (onnx.proto3): no package for it is needed to have a model in a test."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FLOAT, UINT8, INT64 = 1, 2, 7
_TYPES = {np.dtype(np.float32): FLOAT, np.dtype(np.uint8): UINT8, np.dtype(np.int64): INT64}


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def tensor(name: str, values: np.ndarray[Any, Any]) -> bytes:
    dims = b"".join(_number(1, n) for n in values.shape)
    return dims + _number(2, _TYPES[values.dtype]) + _bytes(8, name) + _bytes(9, np.ascontiguousarray(values).tobytes())


def _attribute(name: str, value: Any) -> bytes:
    if isinstance(value, float):
        return _bytes(1, name) + _varint(2 << 3 | 5) + struct.pack("<f", value) + _number(20, 1)
    if isinstance(value, int):
        return _bytes(1, name) + _number(3, value) + _number(20, 2)
    return _bytes(1, name) + b"".join(_number(8, n) for n in value) + _number(20, 7)


def node(kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> bytes:
    made = b"".join(_bytes(1, name) for name in inputs) + b"".join(_bytes(2, name) for name in outputs)
    return made + _bytes(4, kind) + b"".join(_bytes(5, _attribute(k, v)) for k, v in attributes.items())


def _value(name: str, shape: Sequence[int | str], kind: int = FLOAT) -> bytes:
    dims = b"".join(_bytes(1, _bytes(2, d) if isinstance(d, str) else _number(1, d)) for d in shape)
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, kind) + _bytes(2, dims)))


def model(
    nodes: Sequence[bytes], weights: Mapping[str, np.ndarray[Any, Any]], given: Mapping[str, Sequence[int | str]],
    found: Mapping[str, Sequence[int | str]],
) -> bytes:  # fmt: skip
    """ModelProto, IR 8, opset 17."""
    graph = b"".join(_bytes(1, one) for one in nodes) + _bytes(2, "g")
    graph += b"".join(_bytes(5, tensor(name, values)) for name, values in weights.items())
    graph += b"".join(_bytes(11, _value(name, shape)) for name, shape in given.items())
    graph += b"".join(_bytes(12, _value(name, shape)) for name, shape in found.items())
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, _bytes(1, "") + _number(2, 17))
