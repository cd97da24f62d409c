"""Sections of a session's page: what it was, who was left out and why, its symbols, and what happened on the way."""

from __future__ import annotations

from collections.abc import Sequence

from barray.coordinator.summary import SessionEvent, SessionSummary
from barray.export.symbol_row import SymbolRow
from barray.report.markup import NOTHING, Html, count, counted, number, pairs, percent, price, section, table, top, when
from barray.report.sections.step0 import step0

MAX_ROWS = 1000


def headline(name: str, summary: SessionSummary, rows: Sequence[SymbolRow]) -> Html:
    """Which session of which config."""
    facts = (
        summary.session_date,
        summary.calendar,
        f"{summary.hours} hours",
        f"{when(summary.open_ns, summary.timezone)} – {when(summary.close_ns, summary.timezone)}",
        f"stands at {when(summary.now_ns, summary.timezone)}" if summary.now_ns < summary.close_ns else "",
        count(len(rows), "symbol"),
        f"degraded: the machine failed, and lost {', '.join(summary.lost)}" if summary.degraded else "",
    )
    return top("Session report", name, facts)


def validation(summary: SessionSummary, rows: Sequence[SymbolRow]) -> Html:
    """Step 0 of every symbol, who is not in the session and why, and whose prices are suspected."""
    content = [counted(_counts(summary, rows))]
    if summary.dropped:
        dropped = ((symbol, " · ".join(map(str, reasons))) for symbol, reasons in sorted(summary.dropped.items()))
        content.append(table(("Dropped symbol", "Reasons"), dropped, left=2, kind="reasons"))
    content.append(step0(found for _, found in sorted(summary.step0.items())))
    warned = [(row.symbol, str(warning)) for row in rows for warning in row.warnings]
    if warned:
        content.append(table(("Symbol", "Suspected move of its prices"), warned, left=2, kind="reasons"))
    return section("validation", "Validation", *content, note="Symbols that were left out, and what was doubted")


def _counts(summary: SessionSummary, rows: Sequence[SymbolRow]) -> list[tuple[int, str, str]]:
    full = sum(row.state == "full" for row in rows)
    dropped = len(summary.dropped) - len(summary.lost)
    refused = sum(not event.accepted for event in summary.events)
    warned = sum(bool(row.warnings) for row in rows)
    overruled = sum(len(row.conflicts) for row in rows)
    return [
        (full, "full", "good"),
        (len(rows) - full, "adhoc", ""),
        (sum(row.upgraded for row in rows), "upgraded", ""),
        (dropped, "dropped", "bad" if dropped else ""),
        *([(len(summary.lost), "lost by the machine", "bad")] if summary.degraded else []),
        (refused, "not accepted", "warn" if refused else ""),
        (warned, "with suspected prices", "warn" if warned else ""),
        (overruled, "adhoc bars overruled", "warn" if overruled else ""),
    ]


def symbols(summary: SessionSummary, rows: Sequence[SymbolRow]) -> Html:
    """A row a symbol, sortable."""
    if not rows:
        return section("symbols", "Symbols", Html('<p class="empty">No symbol is in the session.</p>'))
    shown = (
        (
            row.symbol,
            f"{row.state} (upgraded)" if row.upgraded else row.state,
            row.added_by,
            row.source or NOTHING,
            row.dataset or NOTHING,
            number(row.bars, 0),
            percent(None if row.quality is None else 100.0 * row.quality),
            number(row.gaps, 0),
        )
        for row in rows
    )
    columns = ("Symbol", "State", "Added by", "Source", "Dataset", "Bars", "Quality", "Gaps")
    note = f"Bars of the session of {summary.session_date}, their share of those expected"
    return section("symbols", "Symbols", table(columns, shown, left=5, kind="sortable"), note=note)


def events(summary: SessionSummary) -> Html:
    """What was done to the session, or befell it, in order; nothing where nothing was."""
    if not summary.events:
        return Html("")
    shown = (
        (
            when(event.at_ns, summary.timezone),
            event.action,
            event.symbol or NOTHING,
            _what(event),
            event.by,
            "yes" if event.accepted else Html('<span class="loss">no</span>'),
            event.reason,
        )
        for event in summary.events[:MAX_ROWS]
    )
    columns = ("Time", "Action", "Symbol", "What", "By", "Accepted", "Reason")
    note = f"{_limited(len(summary.events), 'event')} · {summary.timezone}"
    return section("events", "Events", table(columns, shown, left=len(columns), kind="reasons"), note=note)


def _what(event: SessionEvent) -> object:
    return event.detail.get("indicator") or event.detail.get("interval") or NOTHING


def conflicts(summary: SessionSummary, rows: Sequence[SymbolRow]) -> Html:
    """Adhoc bars that the source overruled; nothing where there are none."""
    found = [(row.symbol, conflict) for row in rows for conflict in row.conflicts]
    if not found:
        return Html("")
    shown = (
        (
            symbol,
            one.interval,
            when(one.adhoc.start_ns, summary.timezone),
            price(one.adhoc.close),
            price(one.record.close) if one.record else NOTHING,
        )
        for symbol, one in found[:MAX_ROWS]
    )
    columns = ("Symbol", "Interval", "Start", "Adhoc close", "Close of the source")
    note = f"{_limited(len(found), 'adhoc bar')} overruled by the source · {summary.timezone}"
    return section("conflicts", "Conflicts", table(columns, shown, left=3, kind="sortable"), note=note)


def _limited(many: int, what: str) -> str:
    return f"The first {MAX_ROWS:,} of {count(many, what)}" if many > MAX_ROWS else count(many, what)


def settings(summary: SessionSummary) -> Html:
    """Calendar and times, and what the config requires of every symbol."""
    extended, required, zone = summary.extended_hours, summary.requirements, summary.timezone
    about = {
        "Calendar": summary.calendar,
        "Time zone": zone,
        "Hours": summary.hours,
        **({"Extended hours": f"{extended.open:%H:%M} – {extended.close:%H:%M}"} if extended else {}),
        **({"Extended close of half days": f"{extended.half_day_close:%H:%M}"} if extended else {}),
        "Date": summary.session_date,
        "Open": when(summary.open_ns, zone),
        "Close": when(summary.close_ns, zone),
        "Stands at": when(summary.now_ns, zone),
        "First session loaded": summary.history_first,
        **({f"First daily bars, of {required.daily}": summary.daily_first} if summary.daily_first else {}),
    }
    jump = required.suspect_jump
    requirements = {
        "Intervals": [str(interval) for interval in required.intervals],
        "Indicators": [spec.key for spec in required.indicators],
        "Trailing sessions": required.trailing_days,
        "Missing sessions allowed": required.max_missing_days,
        "Prices": required.prices,
        "Suspected moves": f"from {100 * jump.size:g} %, {'refused' if jump.refuse else 'told'}" if jump else None,
    }
    return section(
        "settings",
        "Session and requirements",
        Html(f'<div class="two"><div><h3>Session</h3>{pairs(about)}</div>'),
        Html(f"<div><h3>Requirements</h3>{pairs(requirements)}</div></div>"),
    )
