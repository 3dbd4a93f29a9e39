"""What a data file keeps of a run: as much as figure, table and claims read.

A subject's `KEEP` names, for each group of its nets, the kinds that are kept besides the tests, and how: each of the functions
here returns one that maps what a run recorded of a kind, and the run's place among those of its net, to what is kept. A kind
that the data file calls something else is given as {name in the file: (kind, how)}.

NOTE: subjects import this file before the command line is parsed, so numpy is imported where it is used.
"""

from collections.abc import Callable, Mapping
from typing import Any

Recorded = Mapping[str, Any]
Keep = Callable[[Recorded, int], Any]
Kept = Keep | tuple[str, Keep]


def keep(data: dict[str, Any], kept: Mapping[str, Mapping[str, Kept]]) -> dict[str, Any]:
    """Keep of each group's runs the kinds that are named for it; groups that are not named stay whole."""

    def of_run(run: Recorded, kinds: Mapping[str, Kept], rank: int) -> dict[str, Any]:
        always = {name: run[name] for name in ("seed", "test", "diverged_at", "seconds") if name in run}
        named = {name: how if isinstance(how, tuple) else (name, how) for name, how in kinds.items()}
        return always | {name: how(run[kind], rank) for name, (kind, how) in named.items() if kind in run}

    return data | {
        group: {arm: [of_run(run, kinds, rank) for rank, run in enumerate(runs)] for arm, runs in data[group].items()}
        for group, kinds in kept.items()
    }


def whole(record: Recorded, _rank: int) -> Recorded:
    """Keep all that was recorded."""
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
        short = np.vectorize(_short, otypes=[float])
        return {"step": record.get("step", []), **{name: short(rows).tolist() for name, rows in values.items()}}

    return kept


def by_layer(*names: str, first: bool = False) -> Keep:
    """Keep some quantities of each layer, all by default, or of the first layer alone."""

    def kept(record: Recorded, _rank: int) -> Recorded:
        layers = dict([*record.get("layers", {}).items()][: 1 if first else None])
        kept = {layer: {name: found[name] for name in names or found} for layer, found in layers.items()}
        return {**record, "layers": kept}

    return kept


def drift(*since: str, shapes: int = 0, deepest: bool = False) -> Keep:
    """Keep the median drift over the units of a layer, and what one unit's distribution looked like.

    Args:
        since: successive, cumulative, or both.
        shapes: of the first run, from how many steps the first unit's quantiles are kept, evenly over the training; 0 leaves
            them, and its percentiles, out.
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


def _short(value: float) -> float:
    """Round to five digits."""
    return float(f"{value:.5g}")
