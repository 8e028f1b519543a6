"""RWKV-6 and RWKV-7 in PyTorch: models, tokenizer, states, generation and tuning.

Source: https://github.com/BlinkDL/RWKV-LM
"""
