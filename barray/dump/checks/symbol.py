"""Checks of one symbol of a dump: metadata, contents, quality and what was added by hand."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from barray.dump.checks.additions import check_additions
from barray.dump.checks.events import Told
from barray.dump.checks.lineage import check_conflicts, check_lineage
from barray.dump.checks.names import read_indicator, read_interval
from barray.dump.checks.schema import STAMP_FORM, bad_stamps, parse_stamp, parse_stamps
from barray.dump.checks.series import check_history_count, check_indicators, is_given, rebuild_bars
from barray.dump.checks.session import SessionFacts
from barray.dump.checks.trading import source_bars
from barray.dump.checks.warnings import check_warnings
from barray.dump.schema import MetadataJson, SymbolJson, quality_json
from barray.dump.violations import Findings
from barray.market.bars import IntArray, format_ns
from barray.market.interval import DAY, Interval
from barray.market.quality import measure_quality
from barray.market.series import IntervalBars
from barray.market.symbol_data import metadata_problems
from barray.market.symbols import symbol_problem


def check_symbol(name: str, entry: SymbolJson, facts: SessionFacts, out: Findings) -> IntervalBars | None:
    """Everything that can be wrong with one symbol whose keys and types are right; gives its source's base bars."""
    place = f"symbols.{name}"
    if problem := symbol_problem(name):
        out.add(place, "bad_symbol", name, problem)
    base = read_interval(entry["base_interval"], f"{place}.base_interval", out) if entry["base_interval"] else None
    _check_metadata(name, entry["metadata"], facts, out, loaded=entry["base_interval"] is not None)
    adhoc = _adhoc_stamps(entry, place, base, out)
    series = rebuild_bars(entry["bars"], f"{place}.bars", base, adhoc, facts, out)
    _check_given(entry, place, base, adhoc, series, out)
    check_indicators(entry["indicators"], f"{place}.indicators", series, out)
    _check_contents(entry, place, base, facts, out)
    _check_quality(entry, place, series, facts, out)
    check_lineage(name, entry, series, adhoc, facts, out)
    check_conflicts(entry, place, series, facts, out)
    check_warnings(entry, place, series, adhoc, facts, out)
    if facts.told is not None and name in facts.told:
        check_additions(entry, place, facts.told[name], series, facts, out)
    if base is None or base not in series:
        return None
    return source_bars(series[base], adhoc.get(base, np.empty(0, np.int64)), facts.context, name)


def _check_metadata(name: str, entry: MetadataJson, facts: SessionFacts, out: Findings, *, loaded: bool) -> None:
    place, code, before = f"symbols.{name}.metadata", "metadata", len(out)
    meets, added_by = entry["meets_session_config_requirements"], entry["added_by"]
    auto, upgraded = entry["auto_provisioned"], entry["upgraded_from_adhoc"]
    for problem in metadata_problems(meets, added_by, auto, upgraded):
        out.add(place, "truth_table", problem, "one of the four states of a symbol")
    provisioned = entry["provisioned_reason"] is not None
    expected = {
        "meets_session_config_requirements": loaded,
        "auto_provisioned": not loaded,
        "upgraded_from_adhoc": loaded and provisioned,
    }
    out.tree({key: entry[key] for key in expected}, expected, place, code)  # type: ignore[literal-required]
    if entry["provisioned_reason"] not in ("bar_addition", "indicator_addition", None) or (
        not loaded and not provisioned
    ):
        out.add(f"{place}.provisioned_reason", code, entry["provisioned_reason"], "bar_addition or indicator_addition")
    callers = _callers(name, facts, loaded=loaded, upgraded=loaded and provisioned)
    if added_by not in callers:
        told = " or ".join(sorted(callers)) or "no such symbol: no accepted event added it"
        out.add(f"{place}.added_by", code, added_by, f"{told}, as Step 0 and events tell")
    _check_added_at(entry, place, facts, out)
    if facts.told is not None and name in facts.told and len(out) == before:
        out.tree(entry, _metadata_told(entry, facts.told[name], facts), place, code)


def _metadata_told(entry: MetadataJson, told: Told, facts: SessionFacts) -> dict[str, Any]:
    """The metadata as Step 0 and events tell it. When the session began, only its symbols say: all the same."""
    at_ns, open_ns = told.at_ns, facts.context.open_ns
    return {
        "meets_session_config_requirements": told.full,
        "added_by": told.added_by,
        "auto_provisioned": not told.full,
        "added_at": entry["added_at"] if at_ns is None else format_ns(at_ns - at_ns % 1_000_000_000),
        "added_mid_session": entry["added_mid_session"] if at_ns is None else at_ns > open_ns,
        "provisioned_reason": told.provisioned,
        "upgraded_from_adhoc": told.upgraded,
    }


def _callers(name: str, facts: SessionFacts, *, loaded: bool, upgraded: bool) -> set[str]:
    """Who can have added the symbol, by Step 0 and the accepted events."""
    events = facts.accepted.get(name, [])
    if not loaded:
        return {"adhoc"} if any(event["action"] in ("add_bar", "add_indicator") for event in events) else set()
    callers = {event["by"] for event in events if event["action"] == "add_symbol"}
    step0 = facts.step0.get(name)
    if step0 and step0["can_proceed"] and not upgraded:
        callers.add("config")
    return callers


def _check_added_at(entry: MetadataJson, place: str, facts: SessionFacts, out: Findings) -> None:
    text, open_ns = entry["added_at"], facts.context.open_ns
    added_ns = parse_stamp(text) if text else None
    if added_ns is None:
        out.add(f"{place}.added_at", "bad_stamp", text, STAMP_FORM)
    elif added_ns > facts.now_ns:
        out.add(f"{place}.added_at", "after_now", text, f"at most {format_ns(facts.now_ns)}")
    elif added_ns < open_ns - open_ns % 1_000_000_000:
        out.add(f"{place}.added_at", "metadata", text, f"not before {format_ns(open_ns)}, when the session opens")
    elif entry["added_by"] == "config" and facts.first_event_ns is not None and added_ns > facts.first_event_ns:
        first = format_ns(facts.first_event_ns)
        out.add(f"{place}.added_at", "metadata", text, f"not after {first}, when the session's first event was")
    elif added_ns != open_ns and entry["added_mid_session"] != (
        added_ns > open_ns
    ):  # at the open, a cut-off fraction decides
        out.add(f"{place}.added_mid_session", "metadata", entry["added_mid_session"], added_ns > open_ns)


def _adhoc_stamps(entry: SymbolJson, place: str, base: Interval | None, out: Findings) -> dict[Interval, IntArray]:
    """Stamps of the bars added by hand, of each interval where they are stamps."""
    stamps: dict[Interval, IntArray] = {}
    for text, texts in entry["adhoc"]["bars"].items():
        where = f"{place}.adhoc.bars.{text}"
        interval, starts = read_interval(text, where, out), _increasing(texts, where, out)
        if interval is None or starts is None:
            continue
        if not is_given(interval, base):
            out.add(where, "unexpected", "adhoc bars", f"none: {interval} is derived from {base}")
        else:
            stamps[interval] = starts
    return stamps


def _increasing(texts: list[str], place: str, out: Findings) -> IntArray | None:
    starts = parse_stamps(texts)
    if starts is None:
        bad_stamps(texts, lambda row: f"{place}[{row}]", out)
        return None
    disorder = np.diff(starts, prepend=starts[:1] - 1) <= 0
    out.rows(disorder, lambda row: f"{place}[{row}]", "order", lambda row: texts[row], lambda _: "stamps that increase")
    return starts


def _check_given(
    entry: SymbolJson,
    place: str,
    base: Interval | None,
    adhoc: dict[Interval, IntArray],
    series: dict[Interval, IntervalBars],
    out: Findings,
) -> None:
    """Of the bars given: their `history`, and that the adhoc ones are the bars listed under adhoc."""
    for interval, bars in series.items():
        if not is_given(interval, base):
            continue
        where, starts = f"{place}.bars.{interval}", bars.bars.start_ns
        check_history_count(entry["bars"][str(interval)], bars, where, out)
        added = adhoc.get(interval, starts[:0])
        _check_among(added, starts, partial(_row_of, f"{place}.adhoc.bars.{interval}", ""), "missing_bar", out)
        if interval != base:
            _check_among(starts, added, partial(_row_of, where, ".timestamp"), "unexpected_bar", out)


def _row_of(place: str, column: str, row: int) -> str:
    return f"{place}[{row}]{column}"


def _check_among(found: IntArray, others: IntArray, place: Callable[[int], str], code: str, out: Findings) -> None:
    expected = "a bar of this interval" if code == "missing_bar" else "only bars listed under adhoc"
    out.rows(~np.isin(found, others), place, code, lambda row: format_ns(found[row]), lambda _: expected)


def _check_contents(entry: SymbolJson, place: str, base: Interval | None, facts: SessionFacts, out: Findings) -> None:
    """The intervals and indicators are those required of a full symbol and those added by hand, no others."""
    full = entry["base_interval"] is not None
    keys = list(entry["adhoc"]["indicators"])
    added = [read_indicator(key, f"{place}.adhoc.indicators[{nth}]", out) for nth, key in enumerate(keys)]
    if len(set(keys)) < len(keys):
        out.add(f"{place}.adhoc.indicators", "duplicate", "a key twice", "every key once")
    required = facts.requirements.computed if full else ()
    intervals = {str(spec.interval) for spec in added if spec} | set(entry["adhoc"]["bars"])
    if full:
        days = (DAY,) if facts.context.daily_row is not None else ()
        intervals |= {str(interval) for interval in (base, *facts.requirements.all_intervals, *days) if interval}
    for section, wanted in (("bars", intervals), ("indicators", {*keys, *(spec.key for spec in required)})):
        there = set(entry[section])  # type: ignore[literal-required]
        for key in sorted(wanted - there):
            out.add(f"{place}.{section}.{key}", "missing", "nothing", "these, as required or added by hand")
        for key in sorted(there - wanted):
            out.add(f"{place}.{section}.{key}", "unexpected", "these", "nothing: neither required nor added by hand")


def _check_quality(
    entry: SymbolJson, place: str, series: dict[Interval, IntervalBars], facts: SessionFacts, out: Findings
) -> None:
    context = facts.context
    full = entry["base_interval"] is not None
    for section, until_ns in (("quality", facts.now_ns), ("history_quality", context.open_ns)):
        found = entry[section]  # type: ignore[literal-required]
        wanted = set(entry["bars"]) if section == "quality" or full else set()
        for name in sorted(wanted - set(found)):
            out.add(f"{place}.{section}.{name}", "missing", "nothing", "the quality of these bars")
        for name in sorted(set(found) - wanted):
            out.add(f"{place}.{section}.{name}", "unexpected", "a quality", "nothing")
        for interval, bars in series.items():
            if str(interval) in found and str(interval) in wanted:
                rows = range(context.first_row(interval), context.row)
                rows = range(context.row, context.row + 1) if section == "quality" else rows
                quality = measure_quality(bars.bars.start_ns, interval, context.sessions, rows, until_ns)
                out.tree(found[str(interval)], quality_json(quality), f"{place}.{section}.{interval}", section)
