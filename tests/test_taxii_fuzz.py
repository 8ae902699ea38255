"""The sharing server, fuzzed by schemathesis from its own description; so many requests an operation, and no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance
from tests.sharing import TAXII, Sharing, indicator, post, serving

from stillwatch.intel.taxii.openapi import description

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES: Final = 40  # requests of an operation and a kind
SCHEMA: Final = schemathesis.openapi.from_dict(description("stillwatch", 1 << 20))
OPERATIONS: Final = [each.ok() for each in SCHEMA.get_all_operations() if isinstance(each, Ok)]
BOUNDED: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def sharing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sharing]:
    with serving(str(tmp_path_factory.mktemp("fuzz") / "share.sqlite")) as running:
        running.add("ann")
        with running.client("ann") as ann:
            post(ann, *map(indicator, range(20)))
        yield running


def test_the_description_is_served_and_describes_every_endpoint(sharing: Sharing) -> None:
    served = httpx.get(f"{sharing.url}/openapi.json")
    assert served.headers["content-type"] == "application/json"
    assert served.json() == description("stillwatch", 1 << 20)
    assert len(OPERATIONS) == 11


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["valid", "invalid"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
def test_the_server_does_what_it_says(
    sharing: Sharing, operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode
) -> None:
    headers = {"authorization": f"Bearer {sharing.tokens['ann']}", "accept": TAXII}

    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode), here=st.booleans())
    def fuzz(case: schemathesis.Case[Any], here: bool) -> None:
        if here:  # or else nearly all that is asked is not there
            known = {"collection": "industry", "id": indicator(3)["id"]}
            case.path_parameters.update({name: known[name] for name in case.path_parameters if name in known})
        case.headers.update(headers)
        # the token is put in here, which schemathesis takes for one that it made up
        excluded = [ignored_auth, *((positive_data_acceptance,) if _says_a_time(case) else ())]
        case.call_and_validate(base_url=sharing.url, excluded_checks=excluded)
        del case.headers["authorization"]
        assert case.call(base_url=sharing.url).status_code == 401

    fuzz()


def _says_a_time(case: schemathesis.Case[Any]) -> bool:
    """Whether it holds what may be no day of the calendar, which no pattern can say: the 30th of February."""
    query = case.query or {}
    return "added_after" in query or "-" in str(query.get("match[version]", ""))
