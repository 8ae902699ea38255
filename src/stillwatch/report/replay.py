"""A replay for a person at a terminal: harm stopped, price paid, rule by rule, and what could not be asked.

Writes to the console that it is given and touches nothing else. Where two policies are held against each other, a
figure that differs is shown as that of the other policy, an arrow, and that of the policy in question.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Group
from rich.table import Table
from rich.text import Text

from stillwatch.decisions.price import Effect
from stillwatch.report.figures import count, lasting, percent, printable, window
from stillwatch.report.terminal import heading, indented, pairs, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from rich.console import Console, RenderableType

    from stillwatch.decisions.price import FirstTouch, Held, Price, Replay, RuleEffect, Toll

CAMPAIGNS_SHOWN: Final = 20
_NONE: Final = "-"


def print_replay(replay: Replay, console: Console) -> None:
    """Print what a policy would have done."""
    page = _Page(replay.asked, replay.against, "->" if console.options.ascii_only else "→")
    show(console, heading("stillwatch replay"))
    show(console, indented(pairs(_header(replay))))
    show(console, Text())
    show(console, indented(page.summary()))
    for title, part in (
        ("Harm stopped", page.harm(known=bool(replay.known))),
        ("Price paid by honest users", page.paid()),
        ("Rule by rule", page.rules()),
        ("Could not be asked: the log does not tell", page.untold()),
    ):
        if part is not None:
            show(console, Text())
            show(console, heading(title))
            show(console, indented(part))
    show(console, Text())
    show(console, heading("How to read this"))
    show(console, indented(_reading(replay)))


def _header(replay: Replay) -> Iterable[tuple[str, RenderableType]]:
    yield "Policy", _named(replay.asked)
    if replay.against is not None:
        yield "Against", _named(replay.against)
    failed = f"; {replay.failed:,} had failed anyway" if replay.failed else ""
    yield "Traffic", Text(f"{count(replay.exchanges, 'request')} of {count(replay.accounts, 'account')}{failed}")
    yield "Window", Text(window(replay.first, replay.last))
    yield "Campaigns", Text(f"as the {replay.known} tell" if replay.known == "findings" else _KNOWN[replay.known])
    yield "Steps", Text(replay.decisions or "nothing decided against anybody")
    if replay.assumed:
        given = ", ".join(f"{printable(name)} = {printable(value)}" for name, value in replay.assumed.items())
        yield "Given", Text(given)


_KNOWN: Final = {"truth": "as the truth of a made log tells", "": "nobody knows; everybody counts as honest"}


def _named(price: Price) -> Text:
    named = Text(printable(price.name), style="bold")
    acts = "" if price.mode == "enforce" else ", as if enforced"
    named.append(f"  {price.version[:19]}, mode {price.mode}{acts}", style="not bold dim")
    return named


@dataclass(frozen=True, slots=True)
class _Page:
    """What is shown of one policy, or of one held against another."""

    asked: Price
    against: Price | None
    arrow: str

    def summary(self) -> RenderableType:
        """Harm and price in two lines."""
        harvest, honest = self.asked.harvest, self.asked.honest
        before = self.against
        stopped = self._two(None if before is None else _stopped(before.harvest), _stopped(harvest))
        touched = self._two(None if before is None else _touched(before.honest), _touched(honest))
        lines = [
            Text(f"Harvest stopped: {stopped} of {harvest.tokens:,} tokens", style="bold green"),
            Text(f"Honest accounts touched: {touched} of {honest.accounts:,}", style="bold red"),
        ]
        return Group(*(lines if harvest.accounts else lines[1:]))

    def harm(self, *, known: bool) -> RenderableType | None:
        """Each campaign, what of its harvest is stopped, and how soon."""
        if not known:
            return Text("Unknown: without --findings or --truth nobody knows who is in a campaign.")
        campaigns = self.asked.campaigns
        if not campaigns:
            return Text("There is no campaign in this traffic, so that there is no harm to stop.")
        before = {} if self.against is None else {each.name: each for each in self.against.campaigns}
        table = _table("campaign", "accounts", "touched", "tokens", "stopped", "first touched", free=(0, 5))
        for each in campaigns[:CAMPAIGNS_SHOWN]:
            other = before.get(each.name)
            table.add_row(
                Text(printable(each.name)),
                count(each.toll.accounts),
                self._two(None if other is None else f"{other.toll.touched:,}", f"{each.toll.touched:,}"),
                f"{each.toll.tokens:,}",
                self._two(None if other is None else _stopped(other.toll), _stopped(each.toll)),
                Text(_first(each)),
            )
        if len(campaigns) > 1:
            self._all(table, "all campaigns", lambda price: price.harvest)
        rest = len(campaigns) - CAMPAIGNS_SHOWN
        parts: list[RenderableType] = [table]
        if rest > 0:
            parts.append(Text(f"and {count(rest, 'smaller campaign')}; JSON lists all", style="dim"))
        return Group(*parts)

    def paid(self) -> RenderableType:
        """Honest accounts by tier, then by kind."""
        table = _table("", "accounts", "touched", "refused", "tokens", "stopped", free=(0,))
        self._part(table, "by tier", lambda price: price.by_tier)
        self._part(table, "by kind", lambda price: price.by_kind)
        self._all(table, "all honest accounts", lambda price: price.honest, refused=True)
        if self.asked.watched.accounts:
            self._all(table, "watched, neither", lambda price: price.watched, refused=True)
        return table

    def rules(self) -> RenderableType:
        """What each rule does to campaigns and to honest users; those that do nothing are named."""
        before = {} if self.against is None else {each.id: each for each in self.against.rules}
        now = {each.id: each for each in self.asked.rules}
        acting = [name for name in dict.fromkeys((*now, *before)) if _acts(now.get(name)) or _acts(before.get(name))]
        parts: list[RenderableType] = []
        if acting:
            table = _table("", "stopped", "edited", "stopped", "edited", "accounts", free=(0,))
            table.add_row(*(Text(each, style="dim") for each in ("", "of campaigns", "", "of honest users", "", "")))
            for name in acting:
                cells = [Text(printable(name))]
                for mine, other in zip(_figures(now.get(name)), _figures(before.get(name)), strict=True):
                    cells.append(Text(self._two(None if self.against is None else f"{other:,}", f"{mine:,}")))
                table.add_row(*cells)
            parts += [table, Text()]
        marking = [each for each in self.asked.rules if any(effect.marks for effect in _effects(each))]
        parts += [_marking(each) for each in marking]
        for title, names in (
            ("Fired, and changed nothing: ", [each.id for each in self.asked.rules if _idle(each)]),
            ("Never fired: ", [each.id for each in self.asked.rules if each.tried != "not" and not _fires(each)]),
            ("Not tried: ", [each.id for each in self.asked.rules if each.tried == "not"]),
        ):
            if names:
                parts.append(_listed(title, names))
        return Group(*parts)

    def untold(self) -> RenderableType | None:
        """Facts that the log does not tell, who asks for them, and how they could be told."""
        prices = [self.asked, *([] if self.against is None else [self.against])]
        tellers: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
        for rule in (rule for price in prices for rule in price.rules):
            for fact in rule.untold:
                facts, rules = tellers.setdefault(_teller(fact), ({}, {}))
                facts[fact] = rules[rule.id + (" (in part)" if rule.tried == "in part" else "")] = None
        if not tellers:
            return None
        rows: list[RenderableType] = []
        for teller, (facts, rules) in sorted(tellers.items()):
            rows.append(Text(", ".join(facts), style="bold"))
            rows.append(indented(_listed("asked for by ", list(rules))))
            rows.append(indented(_listed("would be told by " if teller else "nothing here would tell it", [teller])))
        return Group(*rows)

    def _part(self, table: Table, title: str, of: Callable[[Price], Mapping[str, Toll]]) -> None:
        tolls = of(self.asked)
        before = {} if self.against is None else of(self.against)
        table.add_row(Text(title, style="dim"))
        for name, toll in sorted(tolls.items(), key=lambda item: (-item[1].accounts, item[0])):
            self._row(table, f"  {name or 'unknown'}", toll, before.get(name), refused=True)
        table.add_row()

    def _all(self, table: Table, title: str, of: Callable[[Price], Toll], *, refused: bool = False) -> None:
        other = None if self.against is None else of(self.against)
        self._row(table, title, of(self.asked), other, refused=refused, style="bold")

    def _row(self, table: Table, title: str, toll: Toll, other: Toll | None, *, refused: bool, style: str = "") -> None:
        touched = f"{toll.touched:,}" if not refused else _touched(toll)
        before = None if other is None else f"{other.touched:,}" if not refused else _touched(other)
        table.add_row(
            Text(printable(title), style=style),
            count(toll.accounts),
            self._two(before, touched),
            *([self._two(None if other is None else f"{other.refused:,}", f"{toll.refused:,}")] if refused else []),
            f"{toll.tokens:,}",
            self._two(None if other is None else _stopped(other), _stopped(toll)),
            style=style,
        )

    def _two(self, before: str | None, now: str) -> str:
        return now if before is None or before == now else f"{before} {self.arrow} {now}"


def _table(*names: str, free: tuple[int, ...], left: bool = False) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for number, name in enumerate(names):
        to_left = left or not number or name == "first touched"
        table.add_column(name, justify="left" if to_left else "right", no_wrap=number not in free, overflow="fold")
    return table


def _stopped(toll: Toll) -> str:
    return percent(toll.share_stopped)


def _touched(toll: Toll) -> str:
    return f"{toll.touched:,} ({percent(toll.share_touched)})" if toll.touched else "0"


def _first(held: Held) -> str:
    first: FirstTouch | None = held.first
    if first is None:
        return "never"
    if first.exchange == 1:
        return "at its first request"
    taken = percent(first.tokens / held.toll.tokens) if held.toll.tokens else "0 %"
    return f"request {first.exchange:,}, after {lasting(timedelta(seconds=first.after))}, {taken} taken"


def _figures(rule: RuleEffect | None) -> tuple[int, ...]:
    """What a rule stops and edits of campaigns, and of honest users, and how many of these it touches."""
    campaign, honest = (Effect(), Effect()) if rule is None else (rule.campaign, rule.honest)
    return campaign.stops, campaign.edits, honest.stops, honest.edits, honest.accounts


def _marking(rule: RuleEffect) -> Text:
    marks = f"{rule.campaign.marks:,} answers to campaigns and {rule.honest.marks:,} to honest users"
    return _listed("Marked: ", [f"{rule.id} marks {marks}"])


def _effects(rule: RuleEffect | None) -> tuple[Effect, ...]:
    return () if rule is None else (rule.campaign, rule.watched, rule.honest)


def _acts(rule: RuleEffect | None) -> bool:
    return any(each.stops or each.edits for each in _effects(rule))


def _fires(rule: RuleEffect) -> bool:
    return any(each.fires for each in _effects(rule))


def _idle(rule: RuleEffect) -> bool:
    return _fires(rule) and not _acts(rule) and not any(each.marks for each in _effects(rule))


def _listed(title: str, names: Iterable[str]) -> Text:
    line = Text(title, style="dim")
    line.append(printable(", ".join(names)), style="not dim")
    return line


def _teller(fact: str) -> str:
    if fact in {"account.step", "account.cohort"}:
        return "--ledger, or --findings and --decide-after"
    if fact in _NETWORK_FACTS:
        return "--database or --network-list"
    if fact in _ACCOUNT_FACTS:
        return "--accounts"
    if fact.startswith("deployment.") or fact in {"account.researcher", "request.reasoning"}:
        return "--given FACT=VALUE, if it was the same for all"
    return ""


def _reading(replay: Replay) -> RenderableType:
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for each in (
        "Nobody reacts: who is refused neither tries again nor gives up. More than this could not have been stopped.",
        "All that an account of a campaign got is its harvest, whatever of it was cover.",
        "Touched: who is refused, meets a full limit, or gets less than was asked for; marked answers touch nobody.",
        "Tokens are those of answers. Limits on tokens know here what a gateway has to estimate.",
        "Campaigns that a guard would know at the door by their marks are not known here.",
    ):
        rows.add_row("-", Text(each))
    if replay.failed:
        rows.add_row("-", Text("Requests that had failed at the time fill limits, and count as nothing else."))
    return rows


_NETWORK_FACTS: Final = frozenset(
    f"request.{name}" for name in ("country", "region", "network", "asn", "hosting", "vpn", "tor", "residential_proxy")
)
_ACCOUNT_FACTS: Final = frozenset(
    {"account.tier", "account.verified", "account.age_days", "account.country", "owner.shares", "account.organization"}
)
