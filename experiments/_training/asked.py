"""Requests for a run: its number of steps, and the measurements that are made at which of them.

None of them changes a run's numbers: a net that several experiments compare is trained once, with all that they request.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from bnjax import sweep
from bnjax.runs import config_dict, config_hash
from experiments._config import RunConfig
from experiments._config.probes import Probe

TEST, RECALIBRATED_TEST = "test", "recalibrated_test"  # their names in a log


@dataclass(frozen=True)
class Asked:
    """The request of an experiment for a run.

    Attributes:
        num_steps: number of steps of the run.
        probe_steps: number of steps before each measurement, ascending.
        test_steps: number of steps before each test, ascending.
        recalibrated_tests: test a second time, with recalibrated statistics.
        probes: settings of the probes to be measured.
    """

    num_steps: int
    probe_steps: tuple[int, ...]
    test_steps: tuple[int, ...]
    recalibrated_tests: bool
    probes: tuple[Probe, ...]

    @classmethod
    def of(cls, config: RunConfig) -> "Asked":
        """Return a configuration's request for its run; settings that make no difference to it have their defaults."""
        schedule = config.schedule
        plan = sweep.make_plan(schedule.num_steps, schedule.probe_every, schedule.eval_every)
        again = schedule.recalibrated_tests and config.norm.is_recalibrated
        probes = tuple(probe.used(config) for probe in config.probes)
        return cls(plan.num_steps, tuple(plan.probe_steps), tuple(plan.test_steps), again, probes)

    def measured(self) -> dict[str, tuple[int, ...]]:
        """Return the steps of every measurement, by its name in a log."""
        tests = {TEST: self.test_steps} | ({RECALIBRATED_TEST: self.test_steps} if self.recalibrated_tests else {})
        steps = {True: self.test_steps, False: self.probe_steps}
        return tests | {log_name(probe): probe.among(steps[probe.at_tests]) for probe in self.probes}

    def clipped(self, num_steps: int) -> "Asked":
        """Return the request cut to a number of steps."""
        probes, tests = (tuple(n for n in steps if n <= num_steps) for steps in (self.probe_steps, self.test_steps))
        return replace(self, num_steps=min(self.num_steps, num_steps), probe_steps=probes, test_steps=tests)

    def as_json(self) -> dict[str, Any]:
        """Return the request as written to JSON."""
        probes = [config_dict(probe) for probe in self.probes]
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"probes": probes}


def log_name(probe: Probe) -> str:
    """Return the name of a probe in a log: its kind, and a hash of its settings unless they are the defaults."""
    settings = "" if probe == type(probe)() else f"-{config_hash(probe)[:6]}"
    return f"{probe.kind}{settings}"


def from_json(record: Any, choices: Mapping[str, type[Probe]]) -> Asked:
    """Restore a request from JSON.

    Args:
        record: the parsed JSON.
        choices: the probes by kind.

    Raises:
        ValueError: if the record is no request.
    """
    try:
        probes = []
        for settings in record["probes"]:
            chosen = choices[settings["kind"]]
            values = {field.name: settings[field.name] for field in fields(chosen) if field.name in settings}
            probes.append(chosen(**{name: _as_tuple(value) for name, value in values.items()}))
        steps = {name: tuple(map(int, record[name])) for name in ("probe_steps", "test_steps")}
        asked = Asked(
            int(record["num_steps"]), **steps, recalibrated_tests=record["recalibrated_tests"], probes=tuple(probes)
        )
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"it does not say what was asked of a run ({type(error).__name__}: {error}).") from error
    return asked


def union(asked: Iterable[Asked]) -> dict[str, tuple[int, ...]]:
    """Return the steps of every measurement in any of the requests, by its name in a log."""
    steps: dict[str, set[int]] = {}
    for one in asked:
        for name, measured in one.measured().items():
            steps.setdefault(name, set()).update(measured)
    return {name: tuple(sorted(found)) for name, found in steps.items()}


def plan_of(num_steps: int, asked: Iterable[Asked]) -> sweep.Plan:
    """Make the plan of a run that fulfils all requests, with this number of steps."""
    asked = [*asked]
    probes = sorted({step for one in asked for step in one.probe_steps})
    tests = sorted({step for one in asked for step in one.test_steps})
    return sweep.Plan(num_steps, probes, tests)


def lacking(lines: Iterable[Mapping[str, Any]], wanted: Mapping[str, Iterable[int]], end: int) -> list[str]:
    """List the wanted measurements that are missing from a run's log, up to a step.

    Args:
        lines: lines of the log.
        wanted: steps of each measurement by its name in the log.
        end: the last step that counts.

    Returns:
        Names, in the order of `wanted`.
    """
    found: dict[str, set[int]] = {}
    for line in lines:
        found.setdefault(line["kind"], set()).add(line["step"])
    return [name for name, steps in wanted.items() if {s for s in steps if s <= end} - found.get(name, set())]


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
