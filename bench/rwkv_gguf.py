"""Write an RWKV-7 model as GGUF, which llama.cpp reads.

    python bench/rwkv_gguf.py MODEL.pth MODEL.gguf [--type f32|f16|q8_0]

Source: the key and tensor names of the package ``gguf``; llama.cpp, src/llama-model.cpp, rwkv7.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gguf
import torch

from kvasir.rwkv.tokenizer import tokenizer_of
from kvasir.rwkv.weights import make_model, read_weights

TYPES = {
    "f32": gguf.GGMLQuantizationType.F32,
    "f16": gguf.GGMLQuantizationType.F16,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
}
_NAMES = {
    "emb.weight": "token_embd.weight",
    "ln_out": "output_norm",
    "head.weight": "output.weight",
    "blocks.0.ln0": "token_embd_norm",
}
_PARTS = {
    "ln1": "attn_norm",
    "ln2": "attn_norm_2",
    "att.ln_x": "time_mix_ln",
    "att.receptance": "time_mix_receptance",
    "att.key": "time_mix_key",
    "att.value": "time_mix_value",
    "att.output": "time_mix_output",
    "att.r_k": "time_mix_r_k",
    "att.k_k": "time_mix_k_k",
    "att.k_a": "time_mix_k_a",
    "ffn.x_k": "channel_mix_lerp_k",
    "ffn.key": "channel_mix_key",
    "ffn.value": "channel_mix_value",
}
_MIXED = ("x_r", "x_w", "x_k", "x_v", "x_a", "x_g")
_CONTEXT = 1 << 20


def main() -> int:
    """Convert a file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--type", choices=list(TYPES), default="f32")
    given = parser.parse_args()
    write_gguf(given.model, given.target, given.type)
    return 0


def write_gguf(model: Path, target: Path, kind: str = "f32") -> None:
    """Write a model; matrices are of the given kind, everything else is float32."""
    made = make_model(read_weights(model), model)
    config = made.config
    writer = gguf.GGUFWriter(target, "rwkv7")
    writer.add_name(model.stem)
    writer.add_context_length(_CONTEXT)
    writer.add_embedding_length(config.width)
    writer.add_block_count(config.layers)
    writer.add_feed_forward_length(config.hidden)
    writer.add_layer_norm_eps(1e-5)
    writer.add_wkv_head_size(config.head_size)
    writer.add_decay_lora_rank(config.rank_w)
    writer.add_iclr_lora_rank(config.rank_a)
    writer.add_value_residual_mix_lora_rank(config.rank_v)
    writer.add_gate_lora_rank(config.rank_g)
    writer.add_head_count(0)
    _add_vocabulary(writer, model, config.vocabulary)
    for name, tensor in _tensors(made.state_dict(), config.layers):
        values = tensor.float().contiguous().numpy()
        wanted = TYPES["f32"]
        if values.ndim == 2 and not name.startswith("token_embd"):
            wanted = TYPES[kind]
            if values.shape[-1] % 32 and kind == "q8_0":
                wanted = TYPES["f16"]
        writer.add_tensor(name, gguf.quants.quantize(values, wanted), raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: gguf.GGUFWriter, model: Path, size: int) -> None:
    """Add the tokens: bytes as they are escaped in Python."""
    tokenizer = tokenizer_of(model)
    tokens, kinds = [b"<s>"], [gguf.TokenType.CONTROL]
    for number in range(1, size):
        piece = tokenizer.decode_bytes([number])
        tokens.append(repr(piece)[2:-1].encode() if piece else f"[PAD{number}]".encode())
        kinds.append(gguf.TokenType.NORMAL if piece else gguf.TokenType.UNUSED)
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)


def _tensors(tensors: dict[str, torch.Tensor], layers: int) -> list[tuple[str, torch.Tensor]]:
    """Return all tensors under the names and in the shapes of llama.cpp."""
    found = []
    mixed = {}
    for key, tensor in tensors.items():
        start, _, last = key.rpartition(".")
        if key in _NAMES:
            found.append((_NAMES[key], tensor))
        elif start in _NAMES:
            found.append((f"{_NAMES[start]}.{last}", tensor.reshape(-1)))
        else:
            _, number, rest = key.split(".", 2)
            part, _, kind = rest.rpartition(".")
            block = f"blk.{number}"
            if rest in _PARTS:  # A vector without a kind.
                found.append((f"{block}.{_PARTS[rest]}.weight", tensor.reshape(-1)))
            elif part in _PARTS:
                shaped = tensor.reshape(-1) if tensor.ndim != 2 else tensor
                found.append((f"{block}.{_PARTS[part]}.{kind}", shaped))
            elif part == "att" and kind in _MIXED:
                mixed[int(number), kind] = tensor.reshape(1, 1, -1)
            else:
                # The low-rank matrices are stored the other way round.
                turned = tensor.reshape(-1) if kind.endswith("0") else tensor.t()
                found.append((f"{block}.time_mix_{kind}.weight", turned))
                if number == "0" and kind[0] == "a":
                    # llama.cpp wants a value residual of the first layer, and does not use it.
                    found.append((f"{block}.time_mix_v{kind[1]}.weight", turned))
    for layer in range(layers):
        fused = torch.stack([mixed[layer, kind] for kind in _MIXED])
        found.append((f"blk.{layer}.time_mix_lerp_fused.weight", fused))
    return found


if __name__ == "__main__":
    sys.exit(main())
