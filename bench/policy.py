"""Speed of deciding: microseconds for a policy of thirty rules, by ways of asking conditions.

    policy.py                  the bundled policy `strict`, on facts of an ordinary request
    policy.py --seconds 2      longer, for steadier figures

Ways: every condition as a Python lambda (the floor), CEL as stillwatch asks it (`cel-expr-python`, all conditions in
one call), the same package with a call a condition, and `common-expression-language`, where it is installed. The last
two are no part of stillwatch: they are what was not chosen. All ways must agree on which rules fire. A machine may be
noisy: each figure is the least of many short runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import itertools
import re
import time
from typing import TYPE_CHECKING, Any

from stillwatch.decisions.cel import Cel, environment
from stillwatch.decisions.decide import decide
from stillwatch.decisions.facts import facts_from
from stillwatch.decisions.limit import Cap, Pace
from stillwatch.decisions.policy import fact_kinds
from stillwatch.guard.counters import Counters, Grant
from stillwatch.guard.policy_file import load_policy

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stillwatch.decisions.facts import FactSource, FactValue
    from stillwatch.decisions.limit import Quota
    from stillwatch.decisions.policy import Policy
    from stillwatch.decisions.ruling import Charge

ORDINARY = {
    "request": {"country": "DE", "model": "orion-5-mini", "max_tokens": 512, "output_tokens": 512, "prompt": "7f"},
    "account": {"id": "a-1", "key": "k-1", "organization": "o-1", "country": "DE", "tier": "team", "age_days": 400},
    "deployment": {"cloud": "aws", "region": "eu-central-1"},
}
_FACT = re.compile(r"\b(?:request|account|owner|deployment)\.\w+(?:\.(?!startsWith)\w+)?")
_RUN = 200  # calls between two looks at the clock


def microseconds(call: Callable[[], object], seconds: float) -> float:
    """Least time of a call, over short runs for so many seconds."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        for _ in range(_RUN):
            call()
        best = min(best, (time.perf_counter() - begun) / _RUN)
    return best * 1e6


def lambdas(policy: Policy) -> list[Callable[[dict[str, FactValue]], bool]]:
    """Each condition as a Python function of a dictionary of facts."""
    made = []
    for rule in policy.document.rules:
        text = re.sub(
            r"\b(?:request|account|owner|deployment)\.\w+(?:\.(?!startsWith)\w+)?", r'f["\g<0>"]', rule.condition
        )
        for cel_word, python_word in (("&&", " and "), ("||", " or "), ("startsWith", "startswith"), ("true", "True")):
            text = text.replace(cel_word, python_word)
        made.append(eval(f"lambda f: {re.sub(r'!(?!=)', ' not ', text)}"))  # noqa: S307  conditions of our own policy
    return made


def nested(values: dict[str, FactValue]) -> dict[str, Any]:
    """Facts as mappings in mappings, as the other package wants them."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        *above, last = name.split(".")
        inner = made
        for step in above:
            inner = inner.setdefault(step, {})
        inner[last] = value
    return made


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--seconds", type=float, default=1.0)
    seconds = arguments.parse_args().seconds

    policy, facts = load_policy("strict"), facts_from(ORDINARY)
    kinds = fact_kinds(policy.document.places)
    values: dict[str, FactValue] = {}
    policy.read(facts, values)
    conditions = [rule.condition for rule in policy.document.rules]
    together = Cel().compiled(conditions, kinds)
    compiler = environment(kinds)
    apart = [compiler.compile(condition) for condition in conditions]
    floor = lambdas(policy)

    ways: dict[str, Callable[[], list[bool]]] = {
        "Python lambdas (floor)": lambda: [ask(values) for ask in floor],
        "cel-expr-python, one call": lambda: [number in together.fired(values).true for number in range(len(floor))],
        "cel-expr-python, a call each": lambda: each_apart(compiler, apart, values),
    }
    timed: dict[str, Callable[[], object]] = {**ways, "cel-expr-python, one call": lambda: together.fired(values)}
    try:
        other = importlib.import_module("cel")
        other.compile  # noqa: B018  another package of this name has none
    except (ImportError, AttributeError):
        print("common-expression-language is not installed: left out")
    else:
        programs, given = [other.compile(condition) for condition in conditions], nested(values)
        ways["common-expression-language"] = lambda: each_of_other(other.Context(given), programs)
        timed["common-expression-language"] = ways["common-expression-language"]

    print(f"{len(conditions)} rules, {len(values)} facts; microseconds")
    print(f"{'':32}{'all':>8}{'each':>8}")
    answers = ways["Python lambdas (floor)"]()
    for name, call in timed.items():
        if ways[name]() != answers:
            raise SystemExit(f"{name} does not agree with the floor")
        took = microseconds(call, seconds)
        print(f"{name:32}{took:8.1f}{took / len(conditions):8.2f}")
    took = microseconds(lambda: decide(policy, facts), seconds)
    print(f"{'a whole decision':32}{took:8.1f}{took / len(conditions):8.2f}")
    ages = itertools.count()
    took = microseconds(lambda: decide(policy, Aged(facts, next(ages))), seconds)
    print(f"{'the same, of facts never seen':32}{took:8.1f}{took / len(conditions):8.2f}")

    charges = [charge._replace(quota=without_end(charge.quota)) for charge in decide(policy, facts).charges]
    counters = Counters()
    took = microseconds(lambda: served(counters, charges), seconds)
    print(f"{f'charging and settling {len(charges)} limits':32}{took:8.1f}{took / len(charges):8.2f}")


class Aged:
    """Facts of an account of another age each time, so that nothing is remembered of them."""

    def __init__(self, facts: FactSource, age: int) -> None:
        self._look_up, self._age = facts.look_up, age

    def look_up(self, name: str) -> FactValue:
        """Give a fact."""
        return self._age if name == "account.age_days" else self._look_up(name)


def without_end(quota: Quota) -> Quota:
    """Give a limit that a benchmark does not reach."""
    bound = Pace(1e12, 1e15) if isinstance(quota.bound, Pace) else Cap(1e15, quota.bound.seconds)
    return dataclasses.replace(quota, bound=bound)


def served(counters: Counters, charges: Sequence[Charge]) -> None:
    """One request, from its estimates to what it really used."""
    grant = counters.charge(charges)
    if not isinstance(grant, Grant):
        raise TypeError(grant)
    counters.settle(grant, {"output_tokens": 100.0})


def each_apart(compiler: Any, expressions: list[Any], values: dict[str, FactValue]) -> list[bool]:  # noqa: ANN401  no types
    """One call a condition, over one activation."""
    activation = compiler.Activation(values)
    return [expression.eval(activation).value() for expression in expressions]


def each_of_other(context: Any, programs: list[Any]) -> list[bool]:  # noqa: ANN401  the same
    """One call a condition, by the other package."""
    return [program.execute(context) for program in programs]


if __name__ == "__main__":
    main()
