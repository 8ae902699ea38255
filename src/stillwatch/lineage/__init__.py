"""Was a model distilled from ours: dyes put into answers, and tests that find them in a suspect's texts.

The numbers are numpy's and numba's; torch, transformers and vLLM are imported only by the modules that carry a dye
into an engine (`logits`, `transformers`, `vllm`), and `tokenizers` and `httpx` only where they are used.
"""
