"""The exchange log, `exchange/1`: columns, types and units. Pure; touches nothing.

An *exchange* is one request to the model and its answer. Only `time` and `account` are required; every other
column adds evidence, and a scan says which were absent and what it therefore could not see.
"""

from __future__ import annotations

import pyarrow as pa

VERSION = "exchange/1"

EXCHANGE = pa.schema(
    [
        pa.field("request_id", pa.string()),  # made from the row if absent
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),  # when the request arrived
        pa.field("account", pa.string(), nullable=False),  # who is billed
        pa.field("organization", pa.string()),
        pa.field("api_key", pa.string()),
        pa.field("model", pa.string()),
        pa.field("operation", pa.string()),  # chat, completion, embeddings, fine-tune, ...
        pa.field("ip", pa.string()),
        pa.field("asn", pa.int64()),
        pa.field("country", pa.string()),
        pa.field("ja4", pa.string()),  # TLS client fingerprint
        pa.field("user_agent", pa.string()),
        pa.field("system", pa.string()),  # text; never stored
        pa.field("prompt", pa.string()),  # text; never stored
        pa.field("response", pa.string()),  # text; never stored
        pa.field("conversation", pa.string()),
        pa.field("answer", pa.string()),  # digest of the answer's text
        pa.field("previous", pa.string()),  # digest of the last assistant turn that the client sent back
        pa.field("turns", pa.int64()),  # messages in the request
        pa.field("tools", pa.int64()),  # tools offered
        pa.field("temperature", pa.float64()),
        pa.field("top_p", pa.float64()),
        pa.field("max_tokens", pa.int64()),
        pa.field("n", pa.int64()),
        pa.field("top_logprobs", pa.int64()),
        pa.field("logit_bias", pa.int64()),  # number of biased tokens
        pa.field("seed", pa.int64()),
        pa.field("stream", pa.bool_()),
        pa.field("reasoning_handle", pa.string()),  # opaque reasoning block or signature sent back by the client
        pa.field("input_tokens", pa.int64()),
        pa.field("output_tokens", pa.int64()),
        pa.field("status", pa.int64()),  # HTTP status
        pa.field("finish_reason", pa.string()),
    ]
)

ACCOUNT = pa.schema(
    [
        pa.field("account", pa.string(), nullable=False),
        pa.field("created_at", pa.timestamp("us", tz="UTC")),
        pa.field("country", pa.string()),
        pa.field("payment", pa.string()),  # any stable token of the payment instrument
        pa.field("email_domain", pa.string()),
        pa.field("organization", pa.string()),
        pa.field("tier", pa.string()),
        pa.field("verified", pa.bool_()),
        pa.field("owner_country", pa.string()),
        pa.field("ownership_share", pa.float64()),  # 0 to 1
    ]
)

REQUIRED = ("time", "account")
TEXT = ("system", "prompt", "response")  # read, turned into hashes and counts, and dropped
