"""The part of a run that a data file keeps: as much as figure, table and claims read, and so as much as they need.

A subject's `KEEP` names, for each group of its nets, the kinds that are kept besides the tests, and how: each of the functions
here returns a function that maps a run's record of a kind, and the run's rank among the runs of its net, to the part that is
kept. A kind with another name in the data file is given as {name in the file: (kind, how)}.

Every group must have nets, and every kind must be measured, before anything is trained, except for those in an `IfMeasured`.

NOTE: subjects import this file before the command line is parsed, so numpy is imported where it is used.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from experiments._config import RunConfig, check, runs_of

Recorded = Mapping[str, Any]
Keep = Callable[[Recorded, int], Any]
Arms = Mapping[str, Sequence[Any]]  # of a group
_ALWAYS = ("train", "test")  # recorded for every run


@dataclass(frozen=True)
class IfMeasured:
    """Marks optional data, kept if present: how a kind is kept, or the kinds of a group.

    Attributes:
        kept: as in `KEEP` without this.
    """

    kept: Any


@dataclass(frozen=True)
class Draws:
    """A summary of many runs of each net: quartiles of some curves, and the numbers that are read from each run.

    Attributes:
        kept: the kinds, as in `KEEP` without this; the numbers and curves are taken from the data that these keep.
        read: returns the measures and the quantities that figure, table and claims read, for the runs of a group's nets.
        max_points: largest number of points of each curve.
    """

    kept: Mapping[str, Any]
    read: Callable[[Arms], tuple[Sequence[Any], Sequence[Any]]]
    max_points: int = 100


class _Entry(NamedTuple):
    """How a kind is kept: its name in the file, the kind, the function, and whether it must be measured."""

    name: str
    kind: str
    how: Keep
    is_needed: bool


def keep(data: dict[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Reduce each group's runs to the kinds that are named for it; keep groups that are not named whole."""

    def of_run(run: Recorded, kinds: Any, rank: int) -> dict[str, Any]:
        always = {name: run[name] for name in ("seed", "test", "diverged_at", "seconds") if name in run}
        return always | {each.name: each.how(run[each.kind], rank) for each in _entries(kinds) if each.kind in run}

    def of_group(arms: Arms, kinds: Any) -> Arms:
        found = {arm: [of_run(run, kinds, rank) for rank, run in enumerate(runs)] for arm, runs in arms.items()}
        draws = kinds.kept if isinstance(kinds, IfMeasured) else kinds
        return _summarised(found, draws) if isinstance(draws, Draws) else found

    return data | {group: of_group(data[group], kinds) for group, kinds in kept.items() if group in data}


def _summarised(arms: Arms, draws: Draws) -> Arms:
    """Keep the numbers of each run, and quartiles of the curves of a net's runs, stored in its first run."""
    from experiments._evidence.curve import over_seeds

    measures, quantities = draws.read(arms)
    kinds = {quantity.kind for quantity in quantities} | {*_ALWAYS} - {"test"}

    def of_run(run: Any) -> dict[str, Any]:
        found = {measure.words: measure.of(run) for measure in measures}
        rest = {name: value for name, value in run.items() if name not in kinds}
        return rest | {
            "measured": {words: _short(value) for words, value in found.items() if not hasattr(value, "reason")}
        }

    def of_net(runs: Sequence[Any]) -> dict[str, Any]:
        found = {quantity.words: over_seeds(runs, quantity) for quantity in quantities}
        return {words: _thinned(curve._asdict(), draws.max_points) for words, curve in found.items()}

    return {
        arm: [of_run(run) | ({"quartiles": of_net(runs)} if rank == 0 else {}) for rank, run in enumerate(runs)]
        for arm, runs in arms.items()
    }


def _thinned(curve: Mapping[str, Any], max_points: int) -> dict[str, list[float]]:
    """Keep every n-th point of a curve, so that at most `max_points` are left, to five digits."""
    every = max(1, -(-len(curve["step"]) // max_points))
    return {name: [_short(value) for value in values[::every].tolist()] for name, values in curve.items()}


def check_needs(config: Any, groups: Mapping[str, Mapping[str, RunConfig]], kept: Mapping[str, Any]) -> None:
    """Raise a ValueError, which names a flag, unless an experiment has the nets that its figure, table and claims need.

    Args:
        config: configuration of the experiment.
        groups: groups of its nets.
        kept: the experiment's `KEEP`.
    """
    plain = {arm.kind for arms in groups.values() for net, arm in arms.items() if net.partition("_")[0] == "plain"}
    for prefix, run in runs_of(config):
        rule = "a normaliser, with which a net is compared that has none"
        check(run.norm.kind != "none" or run.kind not in plain, f"{prefix}norm", rule, "none")
    for group, kinds in kept.items():
        arms, wanted = groups.get(group, {}), [each.kind for each in _entries(kinds) if each.is_needed]
        check(bool(arms) or isinstance(kinds, IfMeasured), group, "one or more nets", "none")
        for arm in arms.values():
            known = tuple(probe.kind for probe in arm.probes)
            check({*wanted} <= {*known}, _flag(config, arm), f"at least {', '.join(wanted)}", known)


def _entries(kinds: Any) -> list[_Entry]:
    """List the quantities kept of a group."""
    entries = []
    while isinstance(kinds, IfMeasured | Draws):
        kinds = kinds.kept
    for name, given in kinds.items():
        is_needed = not isinstance(given, IfMeasured) and name not in _ALWAYS
        how = given.kept if isinstance(given, IfMeasured) else given
        kind, how = how if isinstance(how, tuple) else (name, how)
        entries.append(_Entry(name, kind, how, is_needed))
    return entries


def _flag(config: Any, arm: RunConfig) -> str:
    """Name the field with a net's probes: of the first run of its kind with equal probes, else with any probes."""
    runs = [(prefix, run) for prefix, run in runs_of(config) if run.kind == arm.kind]
    same = [prefix for prefix, run in runs if run.probes == arm.probes]
    return f"{[*same, *(prefix for prefix, _ in runs)][0]}probes"


def whole(record: Recorded, _rank: int) -> Recorded:
    """Keep the whole record."""
    return record


def training(max_points: int, *names: str) -> Keep:
    """Join neighbouring points of some training curves, so that at most `max_points` are left, to five digits."""

    def kept(curve: Recorded, _rank: int) -> Recorded:
        import numpy as np

        steps = curve["step"]
        factor = -(-len(steps) // max_points)
        starts = np.arange(0, len(steps), factor)
        sizes = np.diff(starts, append=len(steps))
        means = {name: np.add.reduceat(np.array(curve[name], float), starts) / sizes for name in names}
        joined = {name: list(map(_short, values)) for name, values in means.items()}
        return {"step": [steps[i] for i in starts], "window": curve["window"] * factor, **joined}

    return kept


def scans(*names: str, ends: bool = False) -> Keep:
    """Keep some quantities of scans: at every point, or only each scan's smallest and largest value."""

    def kept(record: Recorded, _rank: int) -> Recorded:
        import numpy as np

        values = {name: np.array(record.get(name, []), float) for name in names}
        if ends:
            values = {name: np.stack([rows.min(1), rows.max(1)], 1) for name, rows in values.items() if rows.size}
        # Along a random direction, losses may differ in their seventh digit alone.
        short = np.vectorize(_short, otypes=[float])
        rounded = {name: short(rows, 8 if name == "loss" else 5).tolist() for name, rows in values.items()}
        return {"step": record.get("step", []), **rounded}

    return kept


def by_layer(*names: str, first: bool = False) -> Keep:
    """Keep some quantities of each layer, all by default, or of the first layer alone."""

    def kept(record: Recorded, _rank: int) -> Recorded:
        layers = dict([*record.get("layers", {}).items()][: 1 if first else None])
        kept = {layer: {name: found[name] for name in names or found} for layer, found in layers.items()}
        return {**record, "layers": kept}

    return kept


def drift(*since: str, shapes: int = 0, deepest: bool = False) -> Keep:
    """Keep the median drift over the units of a layer, and the distribution of one unit.

    Args:
        since: successive, cumulative, or both.
        shapes: number of steps, spread evenly over training, at which the quantiles of the first unit are kept, in the first
            run alone; 0 omits them and the percentiles.
        deepest: keep only the deepest layer that was followed.
    """

    def kept(record: Recorded, rank: int) -> Recorded:
        import numpy as np

        from experiments._evidence.run import layer_number

        layers, found = sorted(record.get("layers", {}), key=layer_number), {}
        for layer in layers[-1:] if deepest else layers:
            moved = record["layers"][layer]
            found[layer] = {kind: _medians(record, layer, kind) for kind in since if kind in moved}
            if shapes and rank == 0:
                chosen = np.unique(np.linspace(0, len(record["step"]) - 1, shapes).round().astype(int))
                quantiles = [moved["quantiles"][i] for i in chosen]
                found[layer]["shapes"] = {"step": [record["step"][i] for i in chosen], "quantiles": quantiles}
                found[layer]["percentiles"] = [values[0] for values in moved["percentiles"]]
        return {"step": record.get("step", []), "layers": found}

    return kept


def _medians(record: Recorded, layer: str, since: Any) -> dict[str, list[list[float]]]:
    """Return every drift's median over the units of a layer, as if there were one unit."""
    from experiments._evidence.drift import drift as drift_of

    found, moments = {}, ("mean", "variance", "relative_mean", "relative_variance", "relative_wasserstein")
    for name in moments:
        moment: Any = name.removeprefix("relative_")
        values = drift_of(layer, moment, since, relative=name != moment).values(record)
        found[name] = [[0.0]] * (since == "cumulative") + [[_short(value)] for value in values[1:]]
    return found


def _short(value: float, digits: int = 5) -> float:
    """Round to some digits."""
    return float(f"{value:.{digits}g}")
