"""RWKV-6 and RWKV-7 in PyTorch: models, tokenizer, states, generation and tuning.

Source: https://github.com/BlinkDL/RWKV-LM
"""

from kvasir.core.environment import passive_openmp

# Threads that wait actively for each other, hundreds of times a token, take the processors away
# from everything else.
with passive_openmp():
    import torch as _torch  # noqa: F401
