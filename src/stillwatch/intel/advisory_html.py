"""The report for an agency as one page of HTML that loads nothing and prints well. Pure; touches nothing.

Everything that comes from outside goes through `html.escape`; the page forbids scripts and loading by its own policy.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stillwatch.intel.advisory import Advisory, Campaign, Point, Section

_COLOURS: Final = {
    "TLP:RED": "#ff2b2b",
    "TLP:AMBER": "#ffc000",
    "TLP:AMBER+STRICT": "#ffc000",
    "TLP:GREEN": "#33ff00",
    "TLP:CLEAR": "#ffffff",
}  # as TLP 2.0 fixes them, on black

_STYLE: Final = """
:root { --ink: #14202b; --soft: #55646f; --line: #d9dfe4; --wash: #f5f7f9; --mark: #0b4f6c; --against: #2f6f4f; }
* { box-sizing: border-box; }
body { margin: 0; background: #e9edf0; color: var(--ink);
  font: 15px/1.55 "Source Serif 4", "Charter", "Georgia", "Liberation Serif", serif; }
main { max-width: 54rem; margin: 2rem auto; padding: 3rem 3.5rem; background: #fff; box-shadow: 0 1px 6px #0002; }
h1, h2, h3, h4, .label, .tile, th, .tlp, code, .bar, .meta { font-family: "Inter", "Helvetica Neue", "Arial",
  "Liberation Sans", sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 1.2rem 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; padding-top: 1.2rem; border-top: 3px solid var(--ink); }
h3 { font-size: 1.02rem; margin: 1.8rem 0 .5rem; color: var(--mark); }
h4 { font-size: .9rem; margin: 1.1rem 0 .2rem; }
p { margin: .4rem 0 .7rem; }
.tlp { display: inline-block; background: #000; padding: .2rem .6rem; font-weight: 700; font-size: .85rem; }
.top { display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }
.meta { color: var(--soft); font-size: .82rem; }
.lead { font-size: 1.12rem; }
.label { display: inline-block; font-size: .66rem; font-weight: 700; letter-spacing: .07em; text-transform: uppercase;
  padding: .05rem .4rem; border-radius: .2rem; vertical-align: .12em; margin-right: .45rem; }
.fact { background: #dcebf2; color: #0b4f6c; }
.inference { background: #f7e6cf; color: #7a4a00; }
.counter { background: #dcefe3; color: #23563d; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: .7rem; margin: 1rem 0 1.2rem; }
.tile { background: var(--wash); border: 1px solid var(--line); border-radius: .3rem; padding: .7rem .8rem; }
.tile b { display: block; font-size: 1.3rem; line-height: 1.2; }
.tile span { color: var(--soft); font-size: .78rem; }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1rem; font-size: .88rem; }
th { text-align: left; font-size: .74rem; color: var(--soft); font-weight: 600; border-bottom: 1px solid var(--ink); }
th, td { padding: .35rem .7rem .35rem 0; vertical-align: top; }
td { border-bottom: 1px solid var(--line); }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.name { white-space: nowrap; }
code { font-size: .8rem; overflow-wrap: anywhere; background: none; }
.hash { font-family: "JetBrains Mono", "DejaVu Sans Mono", "Liberation Mono", monospace; font-size: .76rem; }
.sign { display: grid; grid-template-columns: 10.5rem 1fr; gap: 0 1rem; padding: .55rem 0;
  border-top: 1px solid var(--line); }
.sign .bar { font-size: .78rem; }
.bar i { display: block; height: .42rem; background: var(--mark); border-radius: .1rem; margin: .15rem 0;
  min-width: 2px; }
.sign p { margin: 0; }
.sign .innocent { color: var(--against); font-size: .88rem; margin-top: .15rem; }
.none { color: var(--soft); font-style: italic; }
.columns { display: grid; grid-template-columns: 1fr 1fr; gap: 1.6rem; }
.box { border: 1px solid var(--line); border-top: 4px solid var(--mark); padding: .3rem 1.1rem .8rem;
  border-radius: .2rem; }
.box.guess { border-top-color: #c47a00; }
.box.other { border-top-color: var(--against); background: #f6faf7; }
ul { margin: .4rem 0 .6rem; padding-left: 1.1rem; }
li { margin: .25rem 0; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); padding-top: .8rem; }
@media (max-width: 44rem) { main { padding: 1.5rem; } .tiles, .columns { grid-template-columns: 1fr 1fr; }
  .columns, .sign { grid-template-columns: 1fr; } }
@page { size: A4; margin: 18mm 16mm; }
@media print { body { background: none; font-size: 10.5pt; }
  main { box-shadow: none; margin: 0; padding: 0; max-width: none; }
  h2, h3, h4 { break-after: avoid; } .sign, .tile, tr, .box li { break-inside: avoid; }
  .campaign + .campaign { break-before: page; }
  .label, .tlp, .bar i, .tile, .box { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

_FACT: Final = '<span class="label fact">fact</span>'
_INFERENCE: Final = '<span class="label inference">inference</span>'
_AGAINST: Final = '<span class="label counter">against</span>'
_LEGEND: Final = (
    f"<p>{_FACT} marks what was counted or measured; {_INFERENCE} marks what is concluded from it; {_AGAINST} marks "
    "what speaks against it. Sums have two significant digits, times are whole days (UTC); the figures of signs stand "
    "as measured.</p>"
)
_HEAD: Final = (
    '<meta charset="utf-8">'
    "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="referrer" content="no-referrer">'
)


def to_html(report: Advisory) -> bytes:
    """Write a report as a page."""
    number = len(report.campaigns)
    title = f"Distillation of a model: {number} campaign{'' if number == 1 else 's'}"
    body = [
        _top(report),
        f"<h1>{escape(title)}</h1>",
        _looked_at(report),
        _overview(report),
        _LEGEND,
        *(_campaign(each) for each in report.campaigns),
        "<h2>How it was found, and what it cannot say</h2>",
        f"<p>{escape(report.method)}</p><p>{escape(report.limits)}</p>",
        _not_seen(report),
        "<h2>Hashes of the evidence</h2>",
        "<p>Whoever is shown the findings later can hold them against these (SHA-256).</p>",
        _hashes(report),
        _foot(report),
    ]
    return (
        f'<!doctype html>\n<html lang="en"><head>{_HEAD}'
        f"<title>{escape(title)} ({escape(report.marking)})</title><style>{_STYLE}</style></head>\n<body><main>\n"
        + "\n".join(body)
        + "\n</main></body></html>\n"
    ).encode()


def _top(report: Advisory) -> str:
    return (
        f'<div class="top"><span class="tlp" style="color:{_COLOURS[report.marking]}">{escape(report.marking)}</span>'
        f'<span class="meta">Prepared on {escape(report.prepared_on)} by {escape(report.prepared_by)}</span></div>'
    )


def _looked_at(report: Advisory) -> str:
    looked = report.looked_at
    return (
        f'<p class="lead">In a log of about {looked.exchanges:,} exchanges of about {looked.accounts:,} accounts, from '
        f"{escape(looked.first_day)} to {escape(looked.last_day)}, about {looked.cohorts_tested:,} cohorts of accounts "
        f"were tested. {_verdicts(report)}</p>"
    )


def _foot(report: Advisory) -> str:
    return (
        f'<footer class="meta">{escape(report.marking)} · form {escape(report.schema)} · marks are keyed hashes: they '
        "name no person and no customer, and can be compared by whoever shares the key.</footer>"
    )


def _verdicts(report: Advisory) -> str:
    number = len(report.campaigns)
    found = "One is held to be a campaign" if number == 1 else f"{number} are held to be campaigns"
    return (
        f"{found}; {report.watched:,} more are watched and {report.cleared:,} were cleared, and are not reported here."
    )


def _overview(report: Advisory) -> str:
    rows = (
        f'<tr><td class="name">{escape(each.id)}</td><td>{escape(", ".join(each.sought))}</td>'
        f'<td class="number">{each.scale.accounts:,}</td><td class="number">{each.scale.exchanges:,}</td>'
        f'<td class="number">{_short(each.scale.output_tokens)}</td>'
        f'<td class="name">{escape(each.scale.first_day)}<br>to {escape(each.scale.last_day)}</td>'
        f"<td>{escape(each.confidence.level)}</td></tr>"
        for each in report.campaigns
    )
    head = (
        "<tr><th>campaign</th><th>sought</th><th class=number>accounts</th><th class=number>exchanges</th>"
        "<th class=number>answers, tokens</th><th>active</th><th>confidence</th></tr>"
    )
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _campaign(each: Campaign) -> str:
    scale = each.scale
    tiles = (
        (f"{scale.accounts:,}", "accounts"),
        (f"{scale.exchanges:,}", "exchanges"),
        (_short(scale.output_tokens), "tokens of answers"),
        (f"{scale.days:,}", "day" if scale.days == 1 else "days"),
    )
    longest = max((point.bits for part in (*each.conduct, *each.purpose) for point in part.facts), default=1.0)
    techniques = (f"{escape(one.name)} (<code>{escape(one.id)}</code>)" for one in each.techniques)
    shown: set[str] = set()
    parts = [
        f"<h2>Campaign <code style='font-size:inherit'>{escape(each.id)}</code></h2>",
        f'<p class="lead">{_FACT} {escape(each.summary)}</p>',
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{big}</b><span>{small}</span></div>' for big, small in tiles),
        "</div>",
        f"<p>{_INFERENCE} Sought: {escape(', '.join(each.sought))}.</p>",
        "<h3>Conduct</h3>",
        *(_section(part, longest, shown) for part in each.conduct),
        "<h3>Purpose, as inferred</h3>",
        *(_section(part, longest, shown) for part in each.purpose),
        "<h3>Confidence</h3>",
        _sure(each),
        '<h3>Fact and inference</h3><div class="columns">',
        f'<div class="box"><h4>What was counted</h4>{_list(each.facts)}</div>',
        f'<div class="box guess"><h4>What is concluded</h4>{_list(each.inferences)}</div></div>',
        '<h3>What speaks against it</h3><div class="box other">' + _list(each.against) + "</div>",
        "<h3>Indicators</h3>",
        _indicators(each),
        f"<p>{_INFERENCE} Techniques of MITRE ATLAS: {', '.join(techniques)}.</p>",
    ]
    return f'<section class="campaign">{"".join(parts)}</section>'


def _sure(each: Campaign) -> str:
    sure = each.confidence
    return (
        f"<p>{_INFERENCE} <b>{escape(sure.level.capitalize())}</b> ({sure.score} of 100): {sure.bits:g} bits of "
        f"evidence, p = {sure.p_value:g}, q = {sure.q_value:g}. {escape(sure.says)}</p>"
    )


def _section(part: Section, longest: float, shown: set[str]) -> str:
    """Give a heading with its signs; a sign that was shown before comes without its innocent reading."""
    if not part.facts:
        return f'<h4>{escape(part.title)}</h4><p class="none">{escape(part.inference)}</p>'
    signs = "".join(_sign(point, longest, again=point.signal in shown) for point in part.facts)
    shown.update(point.signal for point in part.facts)
    return f"<h4>{escape(part.title)}</h4><p>{_INFERENCE}{escape(part.inference)}</p>{signs}"


def _sign(point: Point, longest: float, *, again: bool) -> str:
    width = max(1, round(100 * point.bits / max(longest, 0.1)))
    innocent = f'<p class="innocent">{_AGAINST}Innocent reading: {escape(point.innocent_reading)}.</p>'
    return (
        f'<div class="sign"><div class="bar">{escape(point.signal)}<i style="width:{width}%"></i>'
        f"{point.bits:g} bits</div>"
        f"<div><p>{_FACT}{_sentence(point.measured)}</p>{'' if again else innocent}</div></div>"
    )


def _indicators(each: Campaign) -> str:
    if not each.indicators:
        return '<p class="none">No mark of this campaign may leave.</p>'
    rows = (
        f'<tr><td>{escape(one.says)}</td><td class="hash">{escape(one.mark)}</td>'
        f'<td class="number">{one.accounts:,}</td><td class="number">{one.exchanges:,}</td></tr>'
        for one in each.indicators
    )
    head = (
        "<tr><th>what is shared</th><th>mark (keyed hash)</th><th class=number>accounts</th>"
        "<th class=number>exchanges</th></tr>"
    )
    return f"<table><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _not_seen(report: Advisory) -> str:
    if not report.not_seen:
        return ""
    return f"<p>The log lacks what these questions need; they were not asked:</p>{_list(report.not_seen)}"


def _hashes(report: Advisory) -> str:
    rows = [
        ("the findings file", report.findings_sha256),
        *((f"finding {each.id}", each.sha256) for each in report.campaigns),
    ]
    cells = (f'<tr><td>{escape(name)}</td><td class="hash">{escape(digest)}</td></tr>' for name, digest in rows)
    return f"<table><tbody>{''.join(cells)}</tbody></table>"


def _list(items: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(item)}</li>' for item in items)}</ul>"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return escape(text if text.endswith((".", "?")) else f"{text}.")


def _short(number: int) -> str:
    for size, name in ((10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.2g} {name}" if number < 100 * size else f"{number // size:,} {name}"
    return f"{number:,}"
