"""Fields: the parameters of a body that a policy speaks of, and of which types their values may be. Pure.

A value of another type is refused, though some upstream would take `"3"` for 3 or `"true"` for true: what upstream
makes of it could not be told here. `null` is as if the field were not there, as in both APIs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stillwatch.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

Body = dict[str, Any]

_NONE = type(None)
_TEXT = frozenset({str, _NONE})
_FLAG = frozenset({bool, int, _NONE})
_WHOLE = frozenset({int, float, bool, _NONE})
_NUMBER = frozenset({int, float, _NONE})
_LIST = frozenset({list, _NONE})
_OBJECT = frozenset({dict, _NONE})
_TEXT_OR_LIST = frozenset({str, list, _NONE})

TOKEN_BOUNDS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
ALTERNATIVES = ("top_logprobs", "prompt_logprobs")  # how many; the second is vLLM's
SHOWS = ("return_hidden_states",)  # SGLang's: what a distribution is made from
LISTED_LOGPROBS = ("logprob_token_ids", "token_ids_logprob")  # of vLLM and SGLang: tokens to give probabilities of
ONLY_TOKENS = ("allowed_token_ids",)  # vLLM's: a bias that leaves nothing but these
BIAS_CODE = ("custom_logit_processor", "logits_processors")  # of SGLang and vLLM: code that may do any bias
OFFERED = ("tools", "functions")
REASONING_SHOWN = ("include_reasoning", "separate_reasoning", "stream_reasoning")  # how reasoning stands in answers
ENGINE_SETTINGS = ("vllm_xargs", "custom_params", "chat_template_kwargs")  # that are passed to the engine as they are
MORE_HEADERS = ("extra_headers", "headers")  # that LiteLLM adds to what it sends on

KINDS: Mapping[str, frozenset[Any]] = {
    "model": _TEXT,
    "messages": _LIST,
    "prompt": _TEXT_OR_LIST,
    "input": frozenset({str, list, dict, _NONE}),
    "system": _TEXT_OR_LIST,
    "instructions": _TEXT_OR_LIST,
    "stream": _FLAG,
    "n": _WHOLE,
    "best_of": _WHOLE,
    "logprobs": _WHOLE,
    "temperature": _NUMBER,
    "seed": _WHOLE,
    "logit_bias": _OBJECT,
    "include": _LIST,
    "thinking": _OBJECT,
    "reasoning": frozenset({dict, str, bool, _NONE}),
    "reasoning_effort": frozenset({str, int, float, _NONE}),
    "requests": _LIST,
    "min_tokens": _WHOLE,
    "extra_body": _OBJECT,
    "return_hidden_states": _FLAG,
    "tool_choice": frozenset({str, dict, _NONE}),
    "function_call": frozenset({str, dict, _NONE}),
    "parallel_tool_calls": _FLAG,
    **dict.fromkeys((*TOKEN_BOUNDS, *ALTERNATIVES), _WHOLE),
    **dict.fromkeys((*LISTED_LOGPROBS, *ONLY_TOKENS, *OFFERED), _LIST),
    **dict.fromkeys(BIAS_CODE, frozenset({str, list, dict, _NONE})),
    **dict.fromkeys(REASONING_SHOWN, _FLAG),
    **dict.fromkeys((*ENGINE_SETTINGS, *MORE_HEADERS), _OBJECT),
}
_WORDS: Mapping[frozenset[Any], str] = {
    _TEXT: "text",
    _FLAG: "true or false",
    _WHOLE: "a whole number",
    _NUMBER: "a number",
    _LIST: "a list",
    _OBJECT: "an object",
    _TEXT_OR_LIST: "text or a list",
}
_FLAGS = (None, False, True)  # 0 and 1 are equal to these
_MOST = 2**63 - 1  # conditions know whole numbers of 64 bits
_OF_OBJECTS = ("messages", *OFFERED)
_NAMES_OF_ENGINE = "stillwatch"


def check_fields(body: Body, shape: str) -> None:
    """Check the types of the fields that a policy speaks of.

    Raises:
        RequestError: one is of another type, or spelt in another case.

    """
    for name, value in body.items():
        kinds = KINDS.get(name)
        if kinds is None:
            if not (name.islower() and name.isascii()):
                _check_case(name)
        elif value.__class__ not in kinds:
            raise RequestError(f"must be {_WORDS.get(kinds, 'of another type')}", parameter=name)
        elif kinds is _FLAG or kinds is _WHOLE:
            _check_number(name, value, kinds)
    _check_inside(body, shape)


def _check_case(name: str) -> None:
    folded = name.casefold()
    if folded != name and (folded in KINDS or folded.startswith(_NAMES_OF_ENGINE)):
        raise RequestError(f"is written {folded}", parameter=name)


def _check_number(name: str, value: float | None, kinds: frozenset[Any]) -> None:
    if kinds is _FLAG:
        if value not in _FLAGS:
            raise RequestError("must be true or false", parameter=name)
    elif value.__class__ is float and not float(value or 0).is_integer():
        raise RequestError("must be a whole number", parameter=name)


def _check_inside(body: Body, shape: str) -> None:
    for name in _OF_OBJECTS:
        for item in body.get(name) or ():
            if item.__class__ is not dict:
                raise RequestError("must be a list of objects", parameter=name)
    if shape != "completions" and body.get("logprobs") not in _FLAGS:
        raise RequestError("must be true or false", parameter="logprobs")
    bias = body.get("logit_bias")
    if bias and not all(value.__class__ in (int, float) for value in bias.values()):
        raise RequestError("must be an object of numbers", parameter="logit_bias")
    more = body.get("extra_body")
    if more:
        inside = next((name for name in more if name.casefold() in KINDS), None)
        if inside is not None:
            raise RequestError(f"{inside} belongs into the body itself", parameter="extra_body")
    if shape == "messages/batches":
        _check_requests(body)


def _check_requests(body: Body) -> None:
    models = set[object]()
    for request in body.get("requests") or ():
        params = request.get("params") if request.__class__ is dict else None
        if params.__class__ is not dict:
            raise RequestError("must be a list of objects that have params", parameter="requests")
        check_fields(params, "messages")
        models.add(params.get("model"))
    if len(models) > 1:
        raise RequestError("all requests of a batch must name one model", parameter="requests")


def whole(value: float | None) -> int:
    """Give a whole number that conditions can hold; 0 for null."""
    return max(-_MOST, min(int(value), _MOST)) if value else 0


def alternatives(value: float | None) -> int:
    """Give how many alternatives are asked for; below 0 stands for the whole vocabulary (vLLM), which is past count."""
    asked = whole(value)
    return asked if asked >= 0 else _MOST


def token_name(key: object) -> str:
    """Give a biased token's id in one spelling: engines take `050256` for `50256`."""
    text = str(key)
    try:
        return str(int(text))
    except ValueError:  # a word, or digits without end
        return text
