from __future__ import annotations

from pathlib import Path

import pytest

from stillwatch.errors import SettingsError
from stillwatch.guard.settings import GuardSettings, load_settings, parse_settings


def test_paths_are_relative_to_the_settings_own_folder(tmp_path: Path) -> None:
    path = tmp_path / "guard.yaml"
    path.write_text(
        "schema: stillwatch.guard/1\npolicy: ours.yaml\nledger: postgresql://db/ours\naccounts: a.csv\n"
        "key_file: key\nnetworks: {tor: [tor.txt]}\nexchange_log: {folder: log}\n"
    )
    settings = load_settings(path)
    assert settings.policy == str(tmp_path / "ours.yaml")
    assert settings.ledger == "postgresql://db/ours"
    assert settings.accounts == str(tmp_path / "a.csv")
    assert settings.key_file == str(tmp_path / "key")
    assert settings.networks.tor == (str(tmp_path / "tor.txt"),)
    assert settings.exchange_log is not None
    assert settings.exchange_log.folder == str(tmp_path / "log")


def test_a_policy_that_comes_with_stillwatch_is_no_path() -> None:
    assert parse_settings("schema: stillwatch.guard/1\npolicy: strict\n", where="x").within(Path("/x")) == (
        GuardSettings(policy="strict")
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "x:1:1: schema: settings are a mapping with `schema: stillwatch.guard/1`"),
        ("schema: stillwatch.guard/2\n", "x:1:1: schema: settings are a mapping with `schema: stillwatch.guard/1`"),
        ("schema: stillwatch.guard/1\npolcy: strict\n", "x:2:1: polcy: "),
        ("schema: stillwatch.guard/1\nbody_limit: 12\n", "x:2:13: body_limit: "),
        ("schema: stillwatch.guard/1\nidentify: {account: X-Account}\n", "x:2:21: identify.account: "),
        ("schema: [\n", "x:2:1: "),
    ],
)
def test_what_is_wrong_is_told_with_line_column_and_field(text: str, says: str) -> None:
    with pytest.raises(SettingsError) as caught:
        parse_settings(text, where="x")
    assert says in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "guard.yaml")
