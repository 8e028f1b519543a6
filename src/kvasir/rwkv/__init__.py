"""RWKV-6 and RWKV-7 in PyTorch: models, tokenizer, states, generation and tuning.

Source: https://github.com/BlinkDL/RWKV-LM
"""

from kvasir.core.environment import passive_openmp

_SPINS = 3000
"""Spins before a thread sleeps: at most 0.1 ms, about the gap between two operations."""

# Threads that wait actively for long, hundreds of times a token, take the processors away from
# everything else; those that sleep at once take as long again to wake up.
with passive_openmp(_SPINS):
    import torch as _torch  # noqa: F401
