"""Small GGUF files, which no library could answer with: a header and empty tensors."""

import struct

TEXT, ARRAY, NUMBER = 8, 9, 4
F32, Q4_0 = 0, 2

LANGUAGE_MODEL = {
    "general.architecture": "llama",
    "llama.context_length": 4096,
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 4,
    "tokenizer.ggml.tokens": ["<s>", "a", "智"],
    "llama.rope.sections": [1, 2, 3],
}
TENSORS = (((64, 32), F32, 0), ((64, 2), Q4_0, 64 * 32 * 4))
"""Shapes, types and offsets."""


def gguf_bytes(metadata=None, tensors=TENSORS):
    """Return a file that holds what its header says."""
    metadata = LANGUAGE_MODEL if metadata is None else metadata
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    for key, value in metadata.items():
        kind, data = _value(value)
        header += _text(key) + struct.pack("<I", kind) + data
    for number, (shape, kind, offset) in enumerate(tensors):
        header += _text(f"tensor.{number}") + struct.pack("<I", len(shape))
        header += struct.pack(f"<{len(shape)}Q", *shape) + struct.pack("<IQ", kind, offset)
    header += b"\0" * (-len(header) % 32)
    return header + b"\0" * (64 * 32 * 4 + 64 * 2 // 32 * 18)


def _value(value):
    if isinstance(value, str):
        return TEXT, _text(value)
    if isinstance(value, int):
        return NUMBER, struct.pack("<I", value)
    items = [_value(each) for each in value]
    head = struct.pack("<IQ", items[0][0], len(items))
    return ARRAY, head + b"".join(data for _, data in items)


def _text(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data
