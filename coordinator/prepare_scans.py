"""The scans that a config names, and all that they take laid out over its sessions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

from barray.coordinator.config.model import SessionConfig
from barray.coordinator.config.scans import ScanSection
from barray.coordinator.scan_fleet import PreparedScan
from barray.coordinator.strategies import read_code
from barray.data_sources.listings import read_listings
from barray.data_sources.stacks import StackSources
from barray.market.calendar import TradingCalendar
from barray.market.errors import ConfigError
from barray.market.known_table import KnownTables
from barray.market.listings import Listings
from barray.market.requirements import SymbolRequirements
from barray.market.session_range import session_range_of
from barray.trading.scans.needs import ScanNeeds, needs_of
from barray.trading.scans.plan import Plan
from barray.trading.scans.source import ScanCode, ScanSource

LoadCalendar = Callable[[SessionConfig, SymbolRequirements], TradingCalendar]
"""Gives the config's calendar from far enough back for the requirements; ConfigError where it has no such sessions."""


def prepare_scan(config: SessionConfig, load_calendar: LoadCalendar, *, later: int = 0) -> PreparedScan:
    """The config's scans over its sessions; ConfigError where it has none, or they can't be meant. `later`: so many
    sessions after the last are known too.
    """
    scans = scan_sources(config)
    plans = tuple(source.plan() for source in scans)
    needs = needs_of(plans)
    daily = config.history.daily
    requirements = required(config, needs)
    wide = replace(requirements, trailing_days=max(requirements.trailing_days, needs.sessions_back))
    calendar = load_calendar(_until(config, later), wide)
    days = calendar.between(config.session.start, config.session.end)
    after = calendar.between(config.session.end, date.max)[:later] if later else []
    session_range = session_range_of(wide, calendar, list(dict.fromkeys((*days, *after))))
    sessions, rows = session_range.sessions, session_range.rows[: len(days)].tolist()
    session_range = replace(
        session_range,
        rows=session_range.rows[: len(days)],
        history={row: row - (requirements.base_sessions(sessions, row) or 0) for row in rows},
        daily={row: row - (requirements.history_sessions(sessions, row) or 0) for row in rows} if daily else {},
    )
    manager = config.data_manager.as_stored  # scans follow names themselves
    days_of = (manager.daily,) if manager.daily is not None else ()
    sources = tuple(source for source in manager.sources if source.name != daily)
    return PreparedScan(
        config,
        scans,
        needs,
        requirements,
        session_range,
        StackSources(sources or days_of),
        StackSources(days_of) if days_of else None,
        _listings(config, plans),
        _tables(config, needs),
    )


def _until(config: SessionConfig, later: int) -> SessionConfig:
    """The config with an end so many sessions later, and more: for its calendar alone."""
    if not later:
        return config
    end = config.session.end + timedelta(days=7 * (later + 4) // 4 + 7)
    section = config.session.model_copy(update={"end": end})
    return config.model_copy(update={"session": section}).standing_in(config.where)


def _tables(config: SessionConfig, needs: ScanNeeds) -> KnownTables:
    """The tables that the scans look at; ConfigError where the config has none of a name."""
    if missing := [name for name in needs.tables if name not in config.tables]:
        known = ", ".join(config.tables) or "none"
        raise ConfigError(
            f"the scans look at the table {missing[0]}, and the config has {known}",
            remedy=f"add tables: {{{missing[0]}: {{path: {missing[0]}.csv}}}}",
        )
    return {name: config.tables[name].file(name).read() for name in needs.tables}


def with_scans(config: SessionConfig, load_calendar: LoadCalendar) -> tuple[SessionConfig, PreparedScan | None]:
    """A config whose full symbols have what its scans look at, and the scans laid out; the config itself, and None,
    where it has none. ConfigError as for `prepare_scan`.
    """
    if not config.scans:
        return config, None
    prepared = prepare_scan(config, load_calendar)
    wanted = prepared.requirements
    if not wanted.all_intervals:
        raise ConfigError(f"{config.where}: there are no intervals", remedy="give one that full symbols have: [1m]")
    history = {"trailing_days": wanted.trailing_days, "daily_days": wanted.daily_days}
    changed = {
        "intervals": wanted.intervals,
        "indicators": wanted.indicators,
        "history": config.history.model_copy(update=history),
    }
    return config.model_copy(update=changed).standing_in(config.where), prepared


def required(config: SessionConfig, needs: ScanNeeds) -> SymbolRequirements:
    """What a symbol with the scans' indicators must have, beside what the config asks for."""
    own = config.requirements
    intervals = {*own.intervals, *needs.intervals, *(spec.interval for spec in needs.indicators)}
    indicators = tuple(dict.fromkeys((*own.indicators, *needs.indicators)))
    if own.daily is not None:
        return replace(
            own,
            intervals=tuple(sorted(intervals)),
            indicators=indicators,
            daily_days=max(own.daily_days, needs.days_back),
        )
    back = max(own.trailing_days, needs.days_back)
    return replace(own, intervals=tuple(sorted(intervals)), indicators=indicators, trailing_days=back)


def scan_sources(config: SessionConfig) -> tuple[ScanSource, ...]:
    """The config's scans, each with a name of its own; ConfigError where there are none, or two of one name."""
    if not config.scans:
        raise ConfigError(f"{config.where} has no scans", remedy="add scans: [{path: my_scan.py}]; see docs/scans.md")
    found = tuple(_source(number, section) for number, section in enumerate(config.scans))
    names = Counter(source.plan().name for source in found)
    for name, count in names.items():
        if count > 1:
            raise ConfigError(f"{count} scans are called {name}", remedy="give each a name: under scans")
    return found


def _source(number: int, section: ScanSection) -> ScanSource:
    if section.path is None and section.module is None:
        return ScanSource(section.name or f"scan{number + 1}", terms=section.terms)
    code = read_code(ScanCode, section.path, section.module, section.kind, "scans.path")
    return ScanSource(section.name, code, section.parameters)


def _listings(config: SessionConfig, plans: tuple[Plan, ...]) -> Mapping[str, Listings]:
    """The tables of listings and files of symbols that the scans name."""
    found: dict[str, Listings] = {}
    for plan in plans:
        universe = plan.universe
        if universe.kind not in ("table", "file") or universe.name in found:
            continue
        name = str(universe.name)
        path = config.listings.get(name, str(Path(config.where).parent / name) if universe.kind == "file" else None)
        if path is None:
            raise ConfigError(
                f"{plan.name} looks at {universe.text}, and there are no listings of that name",
                remedy=f"add listings: {{{name}: {name}.csv}} to the config",
            )
        found[name] = read_listings(Path(path), "the file of the universe" if universe.kind == "file" else "listings")
    return found
