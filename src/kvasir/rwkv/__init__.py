"""RWKV-6 and RWKV-7 in PyTorch: models, tokenizer, states, generation and tuning.

Source: https://github.com/BlinkDL/RWKV-LM
"""

from kvasir.core.environment import passive_openmp

_SPINS = 3000
"""A tenth of a millisecond or less: as long as the next operation of a token takes to come."""

# Threads that wait actively for long, hundreds of times a token, take the processors away from
# everything else; those that sleep at once take as long again to wake up.
with passive_openmp(_SPINS):
    import torch as _torch  # noqa: F401
