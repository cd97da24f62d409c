"""Parameter sets chosen by optuna's TPE sampler in the light of what earlier ones achieved (extra `barray[optuna]`)."""

from __future__ import annotations

import math
import random
import warnings
from typing import Any

from barray.market.errors import ConfigError
from barray.trading.sweeps.parameter_sets import MOST_DRAWS, MOST_SETS, Axis, ParameterSet, Space, set_key

_TRIES = 10


class OptunaSampler:
    """Asks for sets that promise a high value. Deterministic: the same seed and the same tells give the same sets.

    A set is asked for once. `tell` also accepts sets that were never asked for, such as those of a run that was
    stopped. ConfigError where optuna is not installed.
    """

    def __init__(self, space: Space, seed: int = 0) -> None:
        try:
            import optuna
        except ImportError:
            raise ConfigError("optuna is not installed", remedy="pip install 'barray[optuna]'") from None
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with warnings.catch_warnings():  # constant_liar is experimental: it spreads the sets of one batch
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self._optuna = optuna
        self._space = space
        self._study = optuna.create_study(direction="maximize", sampler=sampler)
        self._distributions = {axis.parameter.name: self._distribution(axis) for axis in space.axes}
        self._running: dict[str, Any] = {}
        self._told: set[str] = set()
        self._rng = random.Random(seed)

    def ask(self, n: int) -> list[ParameterSet]:
        """Up to `n` new sets; fewer only where no more are left."""
        asked: list[ParameterSet] = []
        while len(asked) < n and (parameters := self._promising() or self._any()) is not None:
            asked.append(parameters)
        return asked

    def _promising(self) -> ParameterSet | None:
        """A new set of TPE's; None where it keeps to sets that are known or don't count."""
        for _ in range(_TRIES):
            trial = self._study.ask(self._distributions)
            parameters = {axis.parameter.name: _value(axis, trial.params) for axis in self._space.axes}
            if self._is_new(parameters):
                self._running[set_key(parameters)] = trial
                return parameters
            self._finish(trial, math.nan)
        return None

    def _any(self) -> ParameterSet | None:
        """A new set at random; None where there is none."""
        if self._space.size <= MOST_SETS:
            left = [one for one in self._space.all() if self._is_new(one)]
            drawn = left[int(self._rng.random() * len(left))] if left else None
        else:
            draws = (self._space.draw(self._rng) for _ in range(MOST_DRAWS))
            drawn = next((one for one in draws if self._is_new(one)), None)
        if drawn is not None:
            self._study.enqueue_trial(self._inner(drawn))
            self._running[set_key(drawn)] = self._study.ask(self._distributions)
        return drawn

    def _is_new(self, parameters: ParameterSet) -> bool:
        key = set_key(parameters)
        return key not in self._running and key not in self._told and self._space.accepts(parameters)

    def tell(self, parameters: ParameterSet, value: float) -> None:
        """What a set achieved, more is better; NaN where it failed."""
        key = set_key(parameters)
        self._told.add(key)
        trial = self._running.pop(key, None)
        if trial is not None:
            self._finish(trial, value)
        elif math.isfinite(value):
            inner = self._inner(parameters)
            known = self._optuna.trial.create_trial(params=inner, distributions=self._distributions, value=value)
            self._study.add_trial(known)

    def _inner(self, parameters: ParameterSet) -> dict[str, Any]:
        """The values that optuna knows a set by."""
        return {axis.parameter.name: _inner(axis, parameters[axis.parameter.name]) for axis in self._space.axes}

    def _finish(self, trial: Any, value: float) -> None:
        if math.isfinite(value):
            self._study.tell(trial, value)
        else:
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)

    def _distribution(self, axis: Axis) -> Any:
        kinds = self._optuna.distributions
        if axis.values is None:
            return kinds.FloatDistribution(axis.low, axis.high)
        if axis.parameter.type in (int, float):  # by position: listed numbers have an order too
            return kinds.IntDistribution(0, len(axis.values) - 1)
        return kinds.CategoricalDistribution(axis.values)


def _value(axis: Axis, inner: dict[str, Any]) -> Any:
    chosen = inner[axis.parameter.name]
    return axis.values[chosen] if axis.values is not None and axis.parameter.type in (int, float) else chosen


def _inner(axis: Axis, value: Any) -> Any:
    return axis.values.index(value) if axis.values is not None and axis.parameter.type in (int, float) else value
