"""The page on decisions: its commands run as they stand, and its table is the ladder's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.documents import ROOT, Shell, blocks

import stillwatch
from stillwatch.decisions.ladder import LADDER, Rung
from stillwatch.decisions.step import Step

PAGE = ROOT / "docs" / "acting.md"
DOES = {
    Step.OBSERVE: "nothing changes; it is looked at",
    Step.VERIFY: "it is asked who it is",
    Step.THROTTLE: "it is answered more slowly",
    Step.NARROW: "its answers show less",
    Step.DYE: "its answers bear a keyed mark",
    Step.REFUSE: "it is not answered",
}


def test_the_page_runs_as_it_stands(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    first, *steps = blocks(PAGE, "sh")
    shell.run(first)
    found = json.loads((shell.folder / "stillwatch-demo" / "findings.json").read_bytes())
    account = found["campaigns"][0]["accounts"][2]["account"]
    printed = [shell.run(step.replace("ACCOUNT", account)) for step in steps]
    refused, added, allowed, appealed, verified = printed
    assert "refuse" in refused
    assert "sells access" not in added
    assert "throttle against account:acct-7" in added
    assert '"acct-7"' in (shell.folder / "decisions.json").read_text()
    assert "is on the allow-list until" in " ".join(allowed.split())
    assert "papers seen" in appealed
    assert verified.count("none altered, missing or out of order") == 2


def test_the_code_runs_as_it_stands(tmp_path: Path) -> None:
    (code,) = blocks(PAGE, "python")
    done = subprocess.run(  # noqa: S603  code of our own page
        [sys.executable, "-W", "error", "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(stillwatch.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"


def test_the_table_is_the_ladder() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "\n".join(row(rung) for rung in LADDER.rungs) + "\n\n" in page


def row(rung: Rung) -> str:
    needs = " or ".join(sorted(rung.verdicts))
    if rung.bits:
        needs += f", {rung.bits:g} bits, q {rung.q_value:g}, membership {rung.membership:g}"
    return "| {} |".format(
        " | ".join(
            (
                rung.step,
                DOES[rung.step],
                who(rung.approvals),
                who(rung.approvals_of_many),
                needs,
                ", ".join(step for step in Step if step in rung.after) or "anything",
                f"{rung.lasts.days} days ({rung.at_most.days})",
                rung.then or "nothing",
            )
        )
    )


def who(operators: int) -> str:
    return {0: "rules alone", 1: "1 operator"}.get(operators, f"{operators} operators")
