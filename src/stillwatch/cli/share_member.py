"""`stillwatch share member`: who may take part in sharing, and with which rights."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from stillwatch.cli.ledger_options import FORM, print_json
from stillwatch.cli.output import say
from stillwatch.cli.share_peers import SHARED

if TYPE_CHECKING:
    from stillwatch.intel.taxii.members import Member

_COLLECTION = click.Choice(["industry", "government", "own"])


@click.group()
def member() -> None:
    """Let members in, list them, and take their tokens back."""


@member.command("add")
@click.argument("name")
@click.option("--read", "reads", type=_COLLECTION, multiple=True, help="A collection it may read; as often as needed.")
@click.option("--write", "writes", type=_COLLECTION, multiple=True, help="A collection it may add to.")
@SHARED
def add_(*, name: str, reads: tuple[str, ...], writes: tuple[str, ...], place: str) -> None:
    """Let NAME in, and print its token, which is shown only now.

    A member whose token was revoked gets a new one, and the rights that are given now.
    """
    from stillwatch.intel.taxii.members import add_member
    from stillwatch.intel.taxii.store import open_store

    with closing(open_store(place, create=True)) as database:
        token = add_member(database, name, reads=reads, writes=writes)
    say(f"{name} is let in; this token is kept nowhere, hand it over on a safe way:")
    click.echo(token)


@member.command("list")
@SHARED
@FORM
def list_(*, place: str, form: str) -> None:
    """List members, their rights, and whether their tokens stand."""
    from stillwatch.intel.taxii.members import members
    from stillwatch.intel.taxii.store import open_store

    with closing(open_store(place)) as database:
        listed = members(database)
    if form == "json":
        print_json(_json(listed))
        return
    for each in listed:
        state = "revoked" if each.revoked else "stands"
        click.echo(f"{each.name:24} {state:8} reads {_words(each.reads)}, writes {_words(each.writes)}")


@member.command("revoke")
@click.argument("name")
@click.option("--take-out", is_flag=True, help="Take out everything it added, too.")
@SHARED
def revoke(*, name: str, take_out: bool, place: str) -> None:
    """Take NAME's token back: the next request with it is refused."""
    from stillwatch.intel.taxii.adding import withdraw_all
    from stillwatch.intel.taxii.members import revoke_member
    from stillwatch.intel.taxii.store import open_store

    with closing(open_store(place)) as database:
        revoke_member(database, name)
        if take_out:
            with database.writing():
                withdraw_all(database, name)
    say(f"{name}'s token is revoked{', and what it added is taken out' if take_out else ''}")


def _words(collections: tuple[str, ...]) -> str:
    return " and ".join(collections) or "nothing"


def _json(listed: list[Member]) -> bytes:
    import msgspec

    from stillwatch.intel.moment import to_text

    shown = [
        {
            "name": each.name,
            "token": each.token,
            "made": to_text(each.made),
            "revoked": to_text(each.revoked) if each.revoked else None,
            "reads": each.reads,
            "writes": each.writes,
        }
        for each in listed
    ]
    return msgspec.json.encode({"schema": "stillwatch.members/1", "members": shown}) + b"\n"
