"""RWKV-6 in the layout of flash-linear-attention: other names and shapes, and another order.

BlinkDL's files have the mixtures of decay, key, value, receptance and gate in this order; fla has
receptance, decay, key, value and gate. The group norm of fla has the ``eps`` of the other norms,
1e-5; Kvasir computes with that of the reference, 64e-5.
Source: https://github.com/fla-org/flash-linear-attention, fla/layers/rwkv6.py and
utils/convert_from_rwkv6.py
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kvasir.rwkv.v6 import Rwkv6Config

_DIRECT = {
    "ln0": "pre_norm",
    "ln1": "attn_norm",
    "ln2": "ffn_norm",
    "att.receptance": "attn.r_proj.linear",
    "att.key": "attn.k_proj.linear",
    "att.value": "attn.v_proj.linear",
    "att.gate": "attn.g_proj.linear",
    "att.output": "attn.o_proj",
    "att.ln_x": "attn.g_norm",
    "ffn.key": "ffn.key.linear",
    "ffn.receptance": "ffn.receptance.linear",
    "ffn.value": "ffn.value",
}
"""Modules with ``weight``, and those of norms with ``bias``."""
_VECTORS = {
    "att.time_maa_x": "attn.x_proj.0.mu",
    "att.time_decay": "attn.w_proj.linear.lora.2.bias",
    "ffn.time_maa_k": "ffn.key.mu",
    "ffn.time_maa_r": "ffn.receptance.mu",
}
"""[1, 1, C] in BlinkDL's files, [C] in those of fla."""
_TURNED = {
    "att.time_decay_w1": "attn.w_proj.linear.lora.0.weight",
    "att.time_decay_w2": "attn.w_proj.linear.lora.2.weight",
}
_BONUS = ("att.time_faaaa", "attn.bonus")
_MIX_FIRST = ("att.time_maa_w1", "attn.x_proj.0.linear.weight")
_MIX_SECOND = ("att.time_maa_w2", "attn.x_proj.2.weight")
_BIAS = "attn.x_bias"
_KINDS, _FLA_KINDS = "wkvrg", "rwkvg"
_LAYER = re.compile(r"model\.layers\.(\d+)\.(.+)")
_OWN_LAYER = re.compile(r"blocks\.(\d+)\.(.+)")


def is_rwkv6(tensors: Mapping[str, Tensor]) -> bool:
    """Return True if tensors are those of an RWKV-6 model in the layout of fla."""
    return f"model.layers.0.{_BIAS}" in tensors


def to_fla(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the layers, from BlinkDL's names to those of fla."""
    found: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if (in_layer := _OWN_LAYER.fullmatch(key)) is None:
            continue
        layer, rest = f"model.layers.{in_layer[1]}.", in_layer[2]
        module, _, kind = rest.rpartition(".")
        if module in _DIRECT and kind in ("weight", "bias"):
            found[f"{layer}{_DIRECT[module]}.{kind}"] = value
        elif rest in _VECTORS:
            found[layer + _VECTORS[rest]] = value.reshape(-1)
        elif rest in _TURNED:
            found[layer + _TURNED[rest]] = value.t()
        elif rest == _BONUS[0]:
            found[layer + _BONUS[1]] = value
        elif rest == _MIX_FIRST[0]:
            parts = dict(zip(_KINDS, value.chunk(len(_KINDS), 1), strict=True))
            found[layer + _MIX_FIRST[1]] = torch.cat([parts[kind] for kind in _FLA_KINDS], 1).t()
        elif rest == _MIX_SECOND[0]:
            parts = dict(zip(_KINDS, value, strict=True))
            found[layer + _MIX_SECOND[1]] = torch.cat([parts[kind] for kind in _FLA_KINDS]).t()
        elif rest == "att.time_maa_r":
            mixed = [
                tensors[f"blocks.{in_layer[1]}.att.time_maa_{kind}"].reshape(-1)
                for kind in _FLA_KINDS
            ]
            found[layer + _BIAS] = torch.stack(mixed)
    return found


def from_fla(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of the layers under BlinkDL's names, and the keys that are not known."""
    direct = {fla: own for own, fla in _DIRECT.items()}
    vectors = {fla: own for own, fla in _VECTORS.items()}
    turned = {fla: own for own, fla in _TURNED.items()}
    found: dict[str, Tensor] = {}
    unknown = []
    for key, value in tensors.items():
        if (in_layer := _LAYER.fullmatch(key)) is None:
            continue
        layer, rest = f"blocks.{in_layer[1]}.", in_layer[2]
        module, _, kind = rest.rpartition(".")
        if module in direct and kind in ("weight", "bias"):
            found[f"{layer}{direct[module]}.{kind}"] = value
        elif rest in vectors:
            found[layer + vectors[rest]] = value.reshape(1, 1, -1)
        elif rest in turned:
            found[layer + turned[rest]] = value.t()
        elif rest == _BONUS[1]:
            found[layer + _BONUS[0]] = value
        elif rest == _MIX_FIRST[1]:
            parts = dict(zip(_FLA_KINDS, value.chunk(len(_KINDS)), strict=True))
            found[layer + _MIX_FIRST[0]] = torch.cat([parts[kind] for kind in _KINDS]).t()
        elif rest == _MIX_SECOND[1]:
            parts = dict(zip(_FLA_KINDS, value.chunk(len(_KINDS), 1), strict=True))
            found[layer + _MIX_SECOND[0]] = torch.stack([parts[kind].t() for kind in _KINDS])
        elif rest == _BIAS:
            for each, vector in zip(_FLA_KINDS, value, strict=True):
                found[f"{layer}att.time_maa_{each}"] = vector.reshape(1, 1, -1)
        else:
            unknown.append(key)
    return {key: value.contiguous() for key, value in found.items()}, unknown


def described(config: Rwkv6Config) -> dict[str, Any]:
    """Return the part of ``config.json`` that RWKV-6 has of its own."""
    return {
        "architectures": ["RWKV6ForCausalLM"],
        "model_type": "rwkv6",
        "expand_k": 1.0,
        "expand_v": 1.0,
        "proj_low_rank_dim": config.rank_mix,
        "gate_low_rank_dim": config.rank_w,
        "norm_bias": True,
    }
