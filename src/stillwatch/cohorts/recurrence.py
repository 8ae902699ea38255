"""How prompts come back, inside an account and across the accounts of a stream. Pure; touches nothing."""

from __future__ import annotations

import math

import numpy as np

from stillwatch.compiled import compiled

SAMPLED_PROMPTS = 4096  # prompts of a stream that are looked at; chosen by hash, so the same in any order


@compiled
def recur(
    rows: np.ndarray, begin: int, end: int, account: np.ndarray, prompt: np.ndarray, accounts: int, line: np.ndarray
) -> None:
    """Fill in a stream's figures of recurrence, on a sample of prompts chosen by their hash.

    Args:
        rows: exchanges of all streams; this one's are rows[begin:end], by account, then time.
        begin: see `rows`.
        end: see `rows`.
        account: every exchange's account number.
        prompt: hash of every exchange's prompt, 0 where there is no text.
        accounts: how many the stream has.
        line: written to; one line of figures (`measures.LINE`).
    """
    size = end - begin
    share = 1.0 if size <= SAMPLED_PROMPTS else SAMPLED_PROMPTS / size
    limit = np.uint64(share * 65536.0)
    picked = np.empty(size, np.int64)
    count = 0
    for index in range(begin, end):
        value = prompt[rows[index]]
        if value != 0 and (value >> np.uint64(48)) < limit:
            picked[count] = rows[index]
            count += 1
    if count < 8:
        return
    picked = picked[:count]
    values = np.empty(count, np.uint64)
    for index in range(count):
        values[index] = prompt[picked[index]]
    order = np.argsort(values, kind="mergesort")  # stable: accounts stay together inside a prompt
    pairs = prompts = 0
    squares = covered = 0.0
    at = 0
    while at < count:
        stop = at
        value = values[order[at]]
        bearers = 0
        who = -1
        while stop < count and values[order[stop]] == value:
            if account[picked[order[stop]]] != who:
                who = account[picked[order[stop]]]
                bearers += 1
            stop += 1
        pairs += bearers
        prompts += 1
        squares += float(bearers) * bearers
        covered += bearers * (bearers - 1.0)
        at = stop
    recurrence = pairs / prompts
    line["repeats"] = 1.0 - pairs / count
    line["recurrence"] = recurrence
    variance = squares / prompts - recurrence * recurrence
    # a prompt is seen only if somebody sent it: independent draws leave a Poisson number, cut off at zero
    mean = recurrence
    for _ in range(30):
        mean = recurrence * (1.0 - math.exp(-mean)) if mean > 1e-9 else 0.0
    expected = recurrence * (1.0 + mean - recurrence)
    if recurrence > 1.3 and expected > 0.0:
        line["recurrence_spread"] = variance / expected
    if accounts > 1:
        line["coverage"] = covered / pairs / (accounts - 1.0)
    line["prompts"] = prompts
