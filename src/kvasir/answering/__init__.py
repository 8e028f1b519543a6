"""Answering: retrieval, fusion, refusal, prompts, citations, answers and chat."""
