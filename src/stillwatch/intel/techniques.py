"""MITRE ATLAS techniques, and which signals speak for each. Pure; touches nothing.

Source: MITRE ATLAS 5.6.0 (github.com/mitre-atlas/atlas-data); ids and names are theirs, descriptions are ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stillwatch.intel.ids import object_id

if TYPE_CHECKING:
    from collections.abc import Iterable

SOURCE: Final = "mitre-atlas"
CASE: Final = {
    "source_name": SOURCE,
    "external_id": "AML.CS0056",
    "url": "https://atlas.mitre.org/studies/AML.CS0056",
    "description": "Model distillation campaigns: a published case of the same kind.",
}


@dataclass(frozen=True, slots=True)
class Technique:
    """One technique.

    Attributes:
        id: as ATLAS has it.
        name: the same.
        tactic: the name of the tactic that it serves, as a kill chain phase.
        says: what it means in a campaign of distillation.
        signals: any of which speaks for it; empty where the campaign itself does.
    """

    id: str
    name: str
    tactic: str
    says: str
    signals: frozenset[str]

    @property
    def object_id(self) -> str:
        """Id of its attack pattern."""
        return object_id("attack-pattern", self.id)

    def attack_pattern(self, created: str, author: str) -> dict[str, Any]:
        """Give it as an attack pattern."""
        return {
            "type": "attack-pattern",
            "spec_version": "2.1",
            "id": self.object_id,
            "created_by_ref": author,
            "created": created,
            "modified": created,
            "name": self.name,
            "description": self.says,
            "kill_chain_phases": [{"kill_chain_name": SOURCE, "phase_name": self.tactic}],
            "external_references": [
                {
                    "source_name": SOURCE,
                    "external_id": self.id,
                    "url": f"https://atlas.mitre.org/techniques/{self.id}",
                }
            ],
        }


TECHNIQUES: Final = (
    Technique(
        "AML.T0040",
        "AI Model Inference API Access",
        "ai-model-access",
        "The model is asked through its public interface, by accounts like any customer's.",
        frozenset(),
    ),
    Technique(
        "AML.T0024.002",
        "Extract AI Model",
        "exfiltration",
        "Answers are gathered in bulk, by which another model can be trained.",
        frozenset(),
    ),
    Technique(
        "AML.T0065",
        "LLM Prompt Crafting",
        "resource-development",
        "Prompts are made in series to draw out capabilities, and dealt over accounts.",
        frozenset(
            {
                "exchangeability",
                "partition",
                "fresh-prompts",
                "alike-lengths",
                "reasoning-elicitation",
                "rubric-work",
                "trace-cleaning",
                "tool-trajectories",
                "training-data",
                "next-token-sweep",
                "technique-sweep",
                "replayed-handles",
            }
        ),
    ),
    Technique(
        "AML.T0008.005",
        "AI Service Proxies",
        "resource-development",
        "Requests come by way of proxies or relays, which hide who asks and from where.",
        frozenset({"shared-exits", "many-addresses", "continuation"}),
    ),
    Technique(
        "AML.T0021",
        "Establish Accounts",
        "resource-development",
        "Accounts are opened in numbers, and new ones take the place of those that were closed.",
        frozenset({"sign-up-burst", "disposable-mail", "shared-mail", "shared-cards", "succession"}),
    ),
)
SPEAKS: Final = 1.0  # bits from which a signal speaks for a technique


def techniques_for(signals: Iterable[tuple[str, float]]) -> tuple[Technique, ...]:
    """Choose the techniques that some signals, each with its bits, speak for."""
    heard = {name for name, bits in signals if bits >= SPEAKS}
    return tuple(each for each in TECHNIQUES if not each.signals or each.signals & heard)
