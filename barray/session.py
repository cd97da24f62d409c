"""A session from Python: begin it, let it run, change it, read it, export it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import date, datetime, time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from barray.attached import AttachedSession
from barray.checkpoint.days import Keeper, KeptDays
from barray.checkpoint.keeping import PATIENCE_S, Keeping, keeping
from barray.checkpoint.made_of import Made, code_of_scans, made_of
from barray.coordinator import runtime
from barray.coordinator.config.actors import ACTORS_PER_CPU
from barray.coordinator.config.model import SessionConfig
from barray.coordinator.prepare import session_range_for
from barray.coordinator.prepare_scans import with_scans
from barray.coordinator.remote import Remote, new_coordinator
from barray.coordinator.strategies import StrategyLike, trading_in_sessions
from barray.coordinator.summary import SessionSummary
from barray.data_sources.object_store.publish import Place
from barray.export.recording import record
from barray.local.connection import ensure_ray, hand_over_credentials, load_calendar
from barray.local.progress import Progress, shown
from barray.local.sessions import announce
from barray.market.calendar import TradingCalendar
from barray.market.errors import BarrayError, ConfigError, ValidationFailed, shorten
from barray.market.reason_codes import ALL_IS_LOST
from barray.report.session_files import write_exports

logger = logging.getLogger("barray")
drop_logger = logging.getLogger("barray.dropped")
_POLL_S = 0.1
_TEARDOWN_S = 30.0


class Session(AttachedSession):
    """Sessions of one configuration, driven from here, one date after another.

        with barray.Session("session.yaml") as session:
            for day in session.dates:
                session.begin(day)
                session.advance_to("10:30")
                session.add_symbol("TSLA")
                session.advance_to()
                session.end()
                session.export()
                session.teardown()

    `config`: a path, a mapping, or a SessionConfig. Ray is started here on loopback, unless `config.ray.address` names
    a running one, `barray up` keeps one warm, or this process is connected already. Leaving the block ends everything,
    also after an error or Ctrl-C. `progress` is called with the status, about ten times a second, while a call is
    waited for; without one, a notebook shows a line.

    `strategy`: one that trades in the sessions, as of `barray.backtest`, in place of the config's. At every window's
    end it is called after all bars that close there, and after what the schedule does there.
    """

    def __init__(
        self,
        config: str | Path | Mapping[str, Any] | SessionConfig,
        *,
        strategy: StrategyLike | None = None,
        progress: Progress | None = None,
        coordinator: type | None = None,
    ) -> None:
        chosen, self._trading = trading_in_sessions(config, strategy)
        self.config, self._scans = with_scans(chosen, load_calendar)
        self._calendar = _in_background(lambda: load_calendar(self.config, self.config.requirements))
        self._progress = progress
        self._started_ray = False
        self._open = False
        self._note: Path | None = None
        self._coordinator = coordinator
        self.patience_s = 0.0
        self.keeper: Keeper | None = None
        self._written = 0
        super().__init__(Remote(None), self.config.name)

    @property
    def calendar(self) -> TradingCalendar:
        """The exchange calendar of the config; ConfigError where it has no such sessions."""
        return self._calendar.result()

    @property
    def dates(self) -> list[date]:
        """The session dates of the config, in order."""
        section = self.config.session
        return self.calendar.between(section.start, section.end)

    def made_of(self) -> Made:
        """What a checkpoint of it must be of; errors as of `session_range_for`."""
        session_range = session_range_for(self.config, self.config.requirements, load_calendar)
        code = {"the code of the strategy": self._trading.code} if self._trading is not None else {}
        scans = code_of_scans(self._scans.scans) if self._scans is not None else {}
        return made_of(self.config, session_range, code | scans)

    def is_of_all_dates(self, error: BarrayError, day: date) -> bool:
        """Whether what a date failed with is the config's fault, so that none can be run. That a live one is over says
        nothing of those after it.
        """
        return isinstance(error, ConfigError) and (error.code != "session_over" or day == self.dates[-1])

    def carried(self) -> bytes | str | None:
        """Where account and strategy stand between two sessions, or why that can't be told; None where nothing goes
        from one to the next.
        """
        state: bytes | str | None = self._call("carried")
        return state

    def carry(self, state: bytes) -> None:
        """Go on from there in the next session; IllegalTransition where no strategy trades."""
        self._call("carry", state)

    def open(self) -> Self:
        """Connect to Ray and start the coordinator; `with` does it."""
        if not runtime.is_connected():
            self._started_ray = True
            ensure_ray(self.config)
            runtime.prewarm()
        silence_s = self.config.actors.call_timeout_s
        others = (None, None, self._trading, self._scans)
        self._remote = new_coordinator(
            self.name,
            self._coordinator,
            self.config,
            self.calendar,
            *others,
            silence_s=silence_s,
            patience_s=self.patience_s,
        )
        self._open = True
        hand_over_credentials(self.config, self._remote)
        self._note = announce(self.name, runtime.ray_address())
        return self

    def __enter__(self) -> Self:
        try:
            return self.open()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def begin(self, day: date | str | None = None) -> SessionSummary:
        """Steps 0 to 3 for `day` (default: the next date); stand at its open. Dropped symbols are logged.

        ConfigError where it is no session's date, ValidationFailed where nothing is left to run.
        """
        day = None if day is None else _as_date(day)
        self._warn_of_too_many_processes()
        summary = self._begun(day)
        for symbol, reasons in summary.dropped.items():
            drop_logger.warning("%s: dropped: %s", shorten(symbol), "; ".join(map(str, reasons)))
        return summary

    def _begun(self, day: date | None) -> SessionSummary:
        if self.keeper is None or day is None:
            summary: SessionSummary = self._call("begin", day)
            return summary
        earlier = self.keeper.recording(day)
        summary = self._call("begin", day, self.keeper.again(day), earlier)
        if earlier is None and (found := self._call("recording")) is not None:
            self.keeper.begun(day, found)
        return summary

    def _warn_of_too_many_processes(self) -> None:
        cpus, symbols = runtime.cluster_cpus(), len(set(self.config.symbols))
        if self.config.actors.symbols_per_actor == 1 and symbols > ACTORS_PER_CPU * cpus:
            logger.warning(
                "%d symbols ask for a process each, and %d CPUs bear about %d; consider actors.symbols_per_actor: auto",
                symbols,
                cpus,
                ACTORS_PER_CPU * cpus,
            )

    def advance_to(self, moment: str | time | datetime | int | None = None) -> int:
        """Let the session run to `moment`: exchange time ("10:30"), an aware datetime, UTC ns, or None for the close.

        Returns the session time reached, UTC ns: short of `moment` where somebody stopped it. It waits while the
        session is paused. IllegalTransition for an earlier time than it stands at, ConfigError for what is no time of
        the session.
        """
        return int(self._call("advance_to", self._ns(moment)))

    def end(self) -> SessionSummary:
        """No more time passes; everything stays readable until `teardown`."""
        summary: SessionSummary = self._call("end")
        if summary.degraded:
            lost = shorten(", ".join(summary.lost), 200)
            drop_logger.warning("%s is degraded: the machine failed, and lost %s", summary.session_date, lost)
        return summary

    def export(self, directory: str | Path | None = None, formats: Sequence[str] | None = None) -> list[Place]:
        """Write the session as it stands, in the config's formats and directory unless others are given."""
        return write_exports(
            directory or self.config.export.directory,
            self.config.name,
            formats or self.config.export.formats,
            self.summary(),
            self._snapshots,
        )

    def record(self, folder: str | Path | None = None) -> list[Place]:
        """Write the bars of full symbols, history and session, as Parquet, so that the day can be run again from there.

        `folder`: default `live.record` of the config; ConfigError without either. Returns the session's files.
        """
        chosen = folder or self.config.live.record
        if chosen is None:
            raise ConfigError("there is no folder to record into", remedy="give one, or set live.record in the config")
        day = self.summary().session_date
        return record(chosen, day, self._snapshots(), self.calendar.sessions)

    def teardown(self) -> date | None:
        """End every symbol; nothing survives into the next session. Returns the next session's date."""
        following: date | None = self._call("teardown")
        return following

    def close(self) -> None:
        """End the session, whatever it is doing, and every process of it; and Ray, if it was started here."""
        if self._note is not None:
            self._note.unlink(missing_ok=True)
            self._note = None
        if self._open:
            self._open = False
            # the coordinator may be gone or hang; killing it ends its symbols too
            _attempt("tear down", lambda: self._remote.call("teardown", final=True, timeout_s=_TEARDOWN_S))
            _attempt("end the coordinator", self._remote.kill)
        if self._started_ray:
            self._started_ray = False
            runtime.leave_ray()

    def _call(self, method: str, *arguments: Any, **options: Any) -> Any:
        if not self._open:
            raise BarrayError("the session is not open", remedy='use it in a "with" block, or call open()')
        with shown(self._progress) as progress:
            if progress is None and self.keeper is None:
                return super()._call(method, *arguments, **options)
            reference = self._remote.submit(method, *arguments, **options)
            while True:
                with suppress(TimeoutError):
                    return self._remote.wait(reference, _POLL_S)
                if self.keeper is not None:
                    self._keep_what_is_asked(self.keeper)
                if progress is not None:
                    progress(self._remote.call("status"))

    def _keep_what_is_asked(self, keeper: Keeper) -> None:
        while asked := self._remote.call("to_keep", self._written):
            keeper.write(asked)
            self._written += len(asked)

    def _ns(self, moment: str | time | datetime | int | None) -> int | None:
        if moment is None or (isinstance(moment, int) and not isinstance(moment, bool)):
            return moment
        if isinstance(moment, datetime):
            if moment.tzinfo is None:
                raise ConfigError(
                    f"{moment} has no time zone", remedy='give an aware datetime, or exchange time as "10:30"'
                )
            return round(moment.timestamp()) * 1_000_000_000
        try:
            wall = moment if isinstance(moment, time) else time.fromisoformat(moment)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise ConfigError(f"{moment!r} is no time of day", remedy='write exchange time as "10:30"') from None
        return self.calendar.at(self.summary().session_date, wall)


def _as_date(day: object) -> date:
    try:
        if isinstance(day, datetime) or not isinstance(day, date | str):
            raise ValueError
        return date.fromisoformat(day) if isinstance(day, str) else day
    except ValueError:
        raise ConfigError(f"{day!r} is no date", remedy="write it as 2024-07-02", code="bad_dates") from None


def run(
    config: str | Path | Mapping[str, Any] | SessionConfig, *, checkpoint: Keeping | Place | None = None
) -> list[Place]:
    """Run every session date of a configuration from open to close; returns the files written. Once somebody has
    stopped it, no further date is run. `checkpoint`: a folder in which is written down what is done; the same call goes
    on there, see docs/howto/checkpoints.md.

    A date that fails, or is over before it is begun live, keeps none of the others from being run; ValidationFailed
    then names each with its reason, once all are done. ConfigError at once, and BarrayError where Ray or the
    coordinator is gone; errors of the checkpoint as in Checkpoint.
    """
    written: list[Place] = []
    failed: dict[date, BarrayError] = {}
    session = Session(config)
    session.patience_s = PATIENCE_S if checkpoint is not None else 0.0
    with keeping(checkpoint, "run", session.made_of) as kept, session:
        days = KeptDays(kept)
        days.take_up(session)
        for day in session.dates:
            files: list[Place] = []
            if (told := days.done.get(day.isoformat())) is not None:
                written += told["files"]
                if "error" in told:
                    failed[day] = BarrayError(told["error"]["message"], code=told["error"]["code"])
                continue
            try:
                session.begin(day)
                session.advance_to()
                is_stopped = session.end().stopped is not None
                files = session.export()
                if is_stopped:
                    days.stopped(day.isoformat())
                    written += files
                    break
            except BarrayError as error:
                if session.is_of_all_dates(error, day):
                    raise
                if error.code == "stopped":
                    break
                if error.code in ALL_IS_LOST:
                    raise
                failed[day] = error
            session.teardown()
            written += files
            came_to: dict[str, Any] = {"files": [str(path) for path in files]}
            if day in failed:
                came_to["error"] = {"code": failed[day].code, "message": str(failed[day])}
            days.keep(session, day, came_to)
        else:
            days.finish()
        if failed:
            raise _of_dates(failed, len(session.dates))
    return written


def _of_dates(failed: Mapping[date, BarrayError], asked: int) -> BarrayError:
    first = next(iter(failed.values()))
    if asked == 1:
        return first
    listed = "".join(f"\n{day}: {error}" for day, error in failed.items())
    code = first.code if len({error.code for error in failed.values()}) == 1 else None
    return ValidationFailed(f"{len(failed)} of {asked} dates failed; the others were run:{listed}", code=code)


def _attempt(what: str, work: Callable[[], object]) -> None:
    """One step of an end that goes on to the next step whatever happens; a failure is logged, unless all is lost."""
    try:
        work()
    except Exception as error:  # of any kind: what is left must still be ended, and the caller's own error be seen
        if isinstance(error, BarrayError) and error.code in ALL_IS_LOST:
            return
        reason = (str(error).strip().splitlines() or [""])[-1]  # Ray's errors are tracebacks
        logger.warning("could not %s: %s: %s", what, type(error).__name__, reason)


def _in_background(work: Callable[[], TradingCalendar]) -> Future[TradingCalendar]:
    """Start work that takes half a second of imports, while Ray is imported and started."""
    pool = ThreadPoolExecutor(1)
    try:
        return pool.submit(work)
    finally:
        pool.shutdown(wait=False)
