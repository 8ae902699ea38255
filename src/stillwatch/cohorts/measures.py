"""What is measured of a stream: sums over its exchanges, one pass, no pairs of accounts. Pure; touches nothing.

A stream's rows come sorted by account, then time. `measure` walks them once and leaves one line of figures a stream
(`MEASURES` names the columns). Everything that signals ask for is made here, so that each exchange is looked at once
per family of marks; each signal then reads its own columns. What needs another order than that of the rows is apart:
`recurrence` goes by prompt, `timeline` by time.

Sources: unbiased concentration of hours, R = (|sum e^(i theta)|^2 - n) / (n (n - 1)) (Mardia and Jupp, Directional
Statistics, 2000); local variation of gaps (Shinomoto, Shima and Tanji, Neural Computation 15, 2003); intraclass
correlation from vector sums (Fisher, Statistical Methods for Research Workers, 1925, chapter 7).
"""

from __future__ import annotations

import math

import numpy as np

from stillwatch.cohorts.recurrence import recur
from stillwatch.cohorts.timeline import follow, succession
from stillwatch.compiled import compiled, inlined
from stillwatch.marks.digest import CONTINUED, HANDLE, NEW_MODEL, RELAYED, SWEEPS, TOOLS
from stillwatch.marks.wants import WANTS

MEASURES = (
    "accounts",
    "exchanges",
    "first",  # s
    "last",  # s
    "full",  # accounts with at least 4 exchanges
    "count_spread",  # variance of log counts beyond Poisson
    "count_spread_error",
    "rate_spread",  # variance of log rates beyond Poisson
    "rate_spread_error",
    "night",  # mean concentration of an account's hours, 0 (around the clock) to 1
    "night_error",
    "sessions",  # mean local variation of gaps: 1 Poisson, above 1 bursts, below 1 clockwork
    "sessions_error",
    "step",  # excess of two accounts inside 5 minutes, over chance given the hour: 0 none
    "step_error",
    "likeness_within",  # mean similarity of two prompts of one account
    "likeness_between",  # of two accounts
    "exchangeability",  # intraclass correlation
    "exchangeability_error",
    "repeats",  # share of exchanges whose prompt the account had sent before
    "recurrence",  # mean number of accounts that sent a prompt
    "recurrence_spread",  # variance of that number over that of independent draws
    "coverage",  # mean share of the other accounts that sent the same prompt
    "prompts",  # distinct prompts looked at
    "wants_reasoning",
    "wants_rubric",
    "wants_cleaning",
    "wants_tools",
    "wants_synthesis",
    "sweeps",  # share of exchanges that ask for next-token probabilities
    "biased",  # biased tokens a request, mean
    "handles",  # share that send a reasoning handle back
    "relayed",  # share that send back an answer that another account was given
    "continued",  # share that send back any answer
    "refused_early",  # share refused in the first fifth of the exchanges
    "refused_late",  # share refused in the last half
    "openings_early",  # distinct openings per exchange, same spans
    "openings_late",
    "output",  # mean output tokens
    "input",
    "log_output",  # mean log2 output tokens
    "total_output",
    "total_input",
    "ended",  # accounts that fell silent a day or more before the log's end
    "started",  # accounts first seen a day or more after its start
    "succession",  # 1 - mean gap from an end to the next start, in units of chance
    "ramp",  # mean position of an account's exchanges in its life: 0.5 none, above 0.5 it grew
    "ramp_error",
    "pivot",  # share on the new model within a day of its release
    "pivot_base",  # exchanges in that day
    "addresses",  # mean distinct addresses per exchange of an account
    "clients",  # mean distinct clients per exchange of an account
    "turns",  # mean
    "with_tools",  # share with tools
    "lengths",  # intraclass correlation of log input tokens: are accounts alike in the lengths of what they send?
    "lengths_error",
    "followed",  # share of requests that follow up an answer given to the same account
)
"""Columns of a stream's line of figures; NaN where the log cannot tell."""

COLUMN = {name: index for index, name in enumerate(MEASURES)}
LINE = np.dtype([(name, np.float64) for name in MEASURES])
"""One line of figures as the kernels write it: each by its name."""

FULL = 4  # exchanges from which an account's own rate, hours and gaps are looked at
SPAN = 2.5 * 86400.0  # s that an account must be seen over before its nights and sittings count: a script may run a day
WEIGHT_CAP = 30  # an account's own figures count by its exchanges, up to this many
SCATTERED = 8192  # exchanges of a stream up to which its rows are fetched first: as many as the cache holds
ANGLE_UNIT = 1 << 14
_REASONING, _RUBRIC, _CLEANING, _TOOLS, _SYNTHESIS = (
    WANTS.index(name) for name in ("reasoning", "rubric", "cleaning", "tools", "synthesis")
)
_MINUTES = np.arange(1440) / 1440.0 * 2.0 * np.pi
COSINE = np.rint(np.cos(_MINUTES) * ANGLE_UNIT).astype(np.int64)
SINE = np.rint(np.sin(_MINUTES) * ANGLE_UNIT).astype(np.int64)


@inlined
def _weighted(weight: float, square: float, total: float, squares: float) -> tuple[float, float]:
    """Weighted mean, and its standard error, from sum w, sum w^2, sum w x, sum w x^2."""
    if weight <= 0.0:
        return math.nan, math.nan
    mean = total / weight
    spread = max(squares / weight - mean * mean, 0.0)
    effective = weight * weight / square
    if effective <= 1.5:
        return mean, math.nan
    return mean, math.sqrt(spread / (effective - 1.0))


@inlined
def _spread(count: float, total: float, squares: float, noise: float) -> tuple[float, float]:
    """Variance of values beyond their known noise, and its standard error."""
    if count < 4.0:
        return math.nan, math.nan
    mean = total / count
    variance = max(squares / count - mean * mean, 0.0) * count / (count - 1.0)
    return variance - noise / count, max(variance, noise / count) * math.sqrt(2.0 / (count - 1.0))


@compiled
def measure(
    rows: np.ndarray,
    bounds: np.ndarray,
    account: np.ndarray,
    second: np.ndarray,
    sketch: np.ndarray,
    prompt: np.ndarray,
    opening: np.ndarray,
    address: np.ndarray,
    client: np.ndarray,
    flags: np.ndarray,
    wants: np.ndarray,
    biased: np.ndarray,
    input_tokens: np.ndarray,
    output_tokens: np.ndarray,
    turns: np.ndarray,
    log_start: float,
    log_end: float,
    release: float,
    figures: np.ndarray,
) -> None:
    """Fill one line of `figures` for each stream; what the log cannot tell stays as it is.

    Args:
        rows: exchanges of all streams, stream by stream, inside a stream by account, then time.
        bounds: stream k is rows[bounds[k]:bounds[k + 1]].
        account: every exchange's account number; the columns after it likewise are of all exchanges, as in a digest.
        second: arrival, s since 1970.
        sketch: int8 [exchanges, dimensions], the prompt's direction; zero where there is no text.
        prompt: hash of the prompt, 0 where there is no text.
        opening: hash of how it begins.
        address: hash of the address.
        client: hash of the client software.
        flags: bits of `marks.digest`.
        wants: uint8 [exchanges, len(WANTS)], what is asked for; 255 is certain.
        biased: number of biased tokens.
        input_tokens: tokens of the request.
        output_tokens: tokens of the answer.
        turns: messages of the request.
        log_start: first second of the log.
        log_end: last second of the log.
        release: second at which the newest model was first seen; NaN where none appeared inside the log.
        figures: written to; `LINE` [streams], NaN at first.
    """
    dimensions = sketch.shape[1]
    own = np.zeros(dimensions, np.int64)
    whole = np.zeros(dimensions, np.int64)
    touched = np.zeros(1, np.int64)
    day = 86400.0
    long_enough = min(SPAN, 0.5 * (log_end - log_start))
    for stream in range(len(bounds) - 1):
        begin, end = bounds[stream], bounds[stream + 1]
        size = end - begin
        if size <= SCATTERED:
            touched[0] = _touch(
                rows, begin, end, account, second, sketch, prompt, opening, address, client, flags, wants, biased,
                input_tokens, output_tokens, turns,
            )  # fmt: skip
        accounts = full = nights = sittings = 0
        count_n = count_sum = count_squares = count_noise = 0.0
        rate_n = rate_sum = rate_squares = rate_noise = 0.0
        night_w = night_ww = night_x = night_xx = 0.0
        session_w = session_ww = session_x = session_xx = 0.0
        ramp_w = ramp_ww = ramp_x = ramp_xx = 0.0
        like_w = like_ww = like_x = like_xx = 0.0
        address_sum = client_sum = address_rows = client_rows = 0.0
        whole[:] = 0
        own_squares = 0.0
        pair_squares = 0.0
        text_rows = 0
        first, last = second[rows[begin]], second[rows[begin]]
        starts = np.empty(size, np.float64)
        ends = np.empty(size, np.float64)
        started = ended = 0
        sum_want = np.zeros(wants.shape[1], np.int64)
        sweeps = handles = relayed = continued = tooled = counted = followed = 0
        bias = total_in = total_out = log_out = turn_sum = 0.0
        pivot_new = pivot_base = 0
        at = begin
        while at < end:
            who = account[rows[at]]
            stop = at + 1
            while stop < end and account[rows[stop]] == who:
                stop += 1
            n = stop - at
            accounts += 1
            t0, t1 = second[rows[at]], second[rows[stop - 1]]
            first, last = min(first, t0), max(last, t1)
            if t1 < log_end - day:
                ends[ended] = t1
                ended += 1
            if t0 > log_start + day:
                starts[started] = t0
                started += 1
            cosine = sine = 0
            own[:] = 0
            squares = 0
            texts = 0
            variation = 0.0
            terms = 0
            position = 0.0
            for index in range(at, stop):
                row = rows[index]
                minute = int(second[row] // 60) % 1440
                cosine += COSINE[minute]
                sine += SINE[minute]
                position += second[row] - t0
                square = 0
                for d in range(dimensions):
                    part = int(sketch[row, d])
                    own[d] += part
                    square += part * part
                squares += square
                if square > 0:
                    texts += 1
                if index >= at + 2:
                    later = second[row] - second[rows[index - 1]]
                    earlier = second[rows[index - 1]] - second[rows[index - 2]]
                    if later + earlier > 0.0:
                        ratio = (later - earlier) / (later + earlier)
                        variation += 3.0 * ratio * ratio
                        terms += 1
                flag = flags[row]
                sweeps += (flag & SWEEPS) != 0
                handles += (flag & HANDLE) != 0
                relayed += (flag & RELAYED) != 0
                continued += (flag & CONTINUED) != 0
                tooled += (flag & TOOLS) != 0
                for want in range(len(sum_want)):
                    sum_want[want] += wants[row, want]
                bias += biased[row]
                total_in += input_tokens[row]
                total_out += output_tokens[row]
                log_out += math.log2(1.0 + output_tokens[row])
                turn_sum += turns[row]
                if turns[row] > 0 or (flag & CONTINUED) != 0:
                    counted += 1
                    followed += (turns[row] > 1 or (flag & CONTINUED) != 0) and (flag & RELAYED) == 0
                if second[row] >= release and second[row] < release + day:
                    pivot_base += 1
                    pivot_new += (flag & NEW_MODEL) != 0
            weight = float(min(n, WEIGHT_CAP))
            if n >= FULL:
                full += 1
                value = math.log(n)
                count_n += 1.0
                count_sum += value
                count_squares += value * value
                count_noise += 1.0 / n
                value = math.log((n - 1.0) / max(t1 - t0, 60.0))
                rate_n += 1.0
                rate_sum += value
                rate_squares += value * value
                rate_noise += 1.0 / (n - 1.5)
                if t1 - t0 >= max(long_enough, day):
                    value = ((cosine * cosine + sine * sine) / float(ANGLE_UNIT * ANGLE_UNIT) - n) / (n * (n - 1.0))
                    nights += 1
                    night_w += weight
                    night_ww += weight * weight
                    night_x += weight * value
                    night_xx += weight * value * value
                if terms >= 2 and t1 - t0 >= long_enough:
                    value = variation / terms
                    sittings += 1
                    session_w += weight
                    session_ww += weight * weight
                    session_x += weight * value
                    session_xx += weight * value * value
                if t1 - t0 > 3600.0:
                    value = position / n / (t1 - t0)
                    ramp_w += weight
                    ramp_ww += weight * weight
                    ramp_x += weight * value
                    ramp_xx += weight * value * value
                seen = min(n, 16)
                different, told = _distinct_rows(address, rows, at, at + seen)
                address_sum += different
                address_rows += told
                different, told = _distinct_rows(client, rows, at, at + seen)
                client_sum += different
                client_rows += told
            norm = 0.0
            for d in range(dimensions):
                whole[d] += own[d]
                norm += float(own[d]) * float(own[d])
            own_squares += norm
            pair_squares += float(texts) * float(texts)
            text_rows += texts
            if texts >= 2:
                value = (norm - squares) / (texts * (texts - 1.0)) / 16129.0
                like_w += weight
                like_ww += weight * weight
                like_x += weight * value
                like_xx += weight * value * value
            at = stop

        line = figures[stream]
        line["accounts"], line["exchanges"], line["first"], line["last"], line["full"] = (
            accounts,
            size,
            first,
            last,
            full,
        )
        if full >= 0.8 * accounts:  # else those that are looked at were picked for their counts
            line["count_spread"], line["count_spread_error"] = _spread(count_n, count_sum, count_squares, count_noise)
            line["rate_spread"], line["rate_spread_error"] = _spread(rate_n, rate_sum, rate_squares, rate_noise)
        if 2 * nights >= full:  # else a few accounts would speak for all
            line["night"], line["night_error"] = _weighted(night_w, night_ww, night_x, night_xx)
        if 2 * sittings >= full:
            line["sessions"], line["sessions_error"] = _weighted(session_w, session_ww, session_x, session_xx)
        if text_rows >= 8 and like_w > 0.0:
            norm = 0.0
            for d in range(dimensions):
                norm += float(whole[d]) * float(whole[d])
            pairs = float(text_rows) * float(text_rows) - pair_squares
            if pairs > 0.0:
                between = (norm - own_squares) / pairs / 16129.0
                within, error = _weighted(like_w, like_ww, like_x, like_xx)
                room = max(1.0 - between, 0.02)
                line["likeness_within"], line["likeness_between"] = within, between
                line["exchangeability"], line["exchangeability_error"] = (within - between) / room, error / room
        recur(rows, begin, end, account, prompt, accounts, line)
        line["wants_reasoning"] = sum_want[_REASONING] / 255.0 / size
        line["wants_rubric"] = sum_want[_RUBRIC] / 255.0 / size
        line["wants_cleaning"] = sum_want[_CLEANING] / 255.0 / size
        line["wants_tools"] = sum_want[_TOOLS] / 255.0 / size
        line["wants_synthesis"] = sum_want[_SYNTHESIS] / 255.0 / size
        line["sweeps"], line["biased"], line["handles"] = sweeps / size, bias / size, handles / size
        line["relayed"], line["continued"] = relayed / size, continued / size
        line["output"], line["input"], line["log_output"] = total_out / size, total_in / size, log_out / size
        line["total_output"], line["total_input"] = total_out, total_in
        line["ended"], line["started"] = ended, started
        if ended >= 5 and started >= 5:
            line["succession"] = succession(np.sort(ends[:ended]), np.sort(starts[:started]))
        line["ramp"], line["ramp_error"] = _weighted(ramp_w, ramp_ww, ramp_x, ramp_xx)
        if pivot_base > 0:
            line["pivot"] = pivot_new / pivot_base
        line["pivot_base"] = pivot_base
        if address_rows > 0:
            line["addresses"] = address_sum / address_rows
        if client_rows > 0:
            line["clients"] = client_sum / client_rows
        line["turns"], line["with_tools"] = turn_sum / size, tooled / size
        if total_in > 0.0:
            line["lengths"], line["lengths_error"] = _lengths(rows, begin, end, account, input_tokens)
        if 2 * counted >= size:
            line["followed"] = followed / counted
        follow(rows, begin, end, account, second, opening, flags, line)


@compiled
def _touch(
    rows: np.ndarray,
    begin: int,
    end: int,
    account: np.ndarray,
    second: np.ndarray,
    sketch: np.ndarray,
    prompt: np.ndarray,
    opening: np.ndarray,
    address: np.ndarray,
    client: np.ndarray,
    flags: np.ndarray,
    wants: np.ndarray,
    biased: np.ndarray,
    input_tokens: np.ndarray,
    output_tokens: np.ndarray,
    turns: np.ndarray,
) -> int:
    """Read all that is measured of some rows, and nothing else, so that the processor fetches many rows at a time.

    The rows of a small stream lie far apart in the log: measured as they come, each would wait for memory by itself.
    The sum has no meaning, but without it nothing would be read.
    """
    total = np.int64(0)
    for index in range(begin, end):
        row = rows[index]
        hashes = prompt[row] ^ opening[row] ^ address[row] ^ client[row]
        numbers = biased[row] + input_tokens[row] + output_tokens[row] + turns[row]
        total += np.int64(hashes) + numbers + account[row] + np.int64(second[row]) + flags[row]
        total += sketch[row, 0] + sketch[row, sketch.shape[1] - 1] + wants[row, 0]
    return int(total)


@compiled
def _lengths(rows: np.ndarray, begin: int, end: int, account: np.ndarray, tokens: np.ndarray) -> tuple[float, float]:
    """Intraclass correlation of log2 tokens over accounts, from pairs inside accounts, and its standard error."""
    size = end - begin
    values = np.empty(size, np.float64)
    for index in range(size):
        values[index] = math.log2(1.0 + tokens[rows[begin + index]])
    mean = values.mean()
    variance = ((values - mean) ** 2).mean()
    if variance < 1e-6:
        return math.nan, math.nan
    weight = square = total = squares = 0.0
    at = 0
    while at < size:
        who = account[rows[begin + at]]
        whole = own = 0.0
        stop = at
        while stop < size and account[rows[begin + stop]] == who:
            value = values[stop] - mean
            whole += value
            own += value * value
            stop += 1
        n = stop - at
        if n >= 2:
            share = float(min(n, WEIGHT_CAP))
            value = (whole * whole - own) / (n * (n - 1.0)) / variance
            weight += share
            square += share * share
            total += share * value
            squares += share * value * value
        at = stop
    return _weighted(weight, square, total, squares)


@inlined
def _distinct_rows(values: np.ndarray, rows: np.ndarray, start: int, stop: int) -> tuple[int, int]:
    """Number of different values among a few rows, and of rows that tell one."""
    known = told = 0
    for index in range(start, stop):
        if values[rows[index]] == 0:
            continue
        told += 1
        fresh = True
        for other in range(start, index):
            if values[rows[other]] == values[rows[index]]:
                fresh = False
                break
        known += fresh
    return known, told
