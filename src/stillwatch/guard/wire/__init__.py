"""What clients and models say to each other, as bytes: read, edited, refused. Pure.

The APIs of OpenAI (chat completions, completions, responses, embeddings, fine-tuning, batches) and of Anthropic
(messages, token counts, message batches), with what vLLM and SGLang add to them; docs/wire.md has every field.
"""

from __future__ import annotations

from stillwatch.guard.wire.answer import AnswerReader, Said
from stillwatch.guard.wire.asked import Asked, read_request
from stillwatch.guard.wire.edited import Engine, client_steering, edited, instruction_headers
from stillwatch.guard.wire.endpoint import Api
from stillwatch.guard.wire.refused import error_body, refusal_body

__all__ = [
    "AnswerReader",
    "Api",
    "Asked",
    "Engine",
    "Said",
    "client_steering",
    "edited",
    "error_body",
    "instruction_headers",
    "read_request",
    "refusal_body",
]
