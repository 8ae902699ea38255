"""One file a signal: one question asked of a cohort's exchanges. `SIGNALS` holds them all."""

from __future__ import annotations

from stillwatch.verdicts.signals import (
    alike_lengths,
    continuation,
    even_dealing,
    exchangeability,
    fresh_prompts,
    heavy_output,
    in_step,
    many_addresses,
    model_pivot,
    next_token_sweep,
    no_night,
    no_ramp,
    no_sessions,
    partition,
    reasoning_elicitation,
    replayed_handles,
    rubric_work,
    shared_cards,
    shared_exits,
    shared_mail,
    sign_up_burst,
    succession,
    technique_sweep,
    tool_trajectories,
    trace_cleaning,
    training_data,
)

SIGNALS = (
    even_dealing.SIGNAL,
    no_night.SIGNAL,
    no_sessions.SIGNAL,
    in_step.SIGNAL,
    exchangeability.SIGNAL,
    alike_lengths.SIGNAL,
    partition.SIGNAL,
    fresh_prompts.SIGNAL,
    reasoning_elicitation.SIGNAL,
    rubric_work.SIGNAL,
    trace_cleaning.SIGNAL,
    replayed_handles.SIGNAL,
    tool_trajectories.SIGNAL,
    training_data.SIGNAL,
    next_token_sweep.SIGNAL,
    technique_sweep.SIGNAL,
    shared_cards.SIGNAL,
    shared_exits.SIGNAL,
    sign_up_burst.SIGNAL,
    shared_mail.SIGNAL,
    continuation.SIGNAL,
    succession.SIGNAL,
    many_addresses.SIGNAL,
    heavy_output.SIGNAL,
    no_ramp.SIGNAL,
    model_pivot.SIGNAL,
)
"""All signals, family by family."""

BY_ID = {signal.id: signal for signal in SIGNALS}
