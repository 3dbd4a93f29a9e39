"""Tables: medians over seeds of measures, for each net."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from experiments._evidence.format import TIMES, Format, plural
from experiments._evidence.quantities import (
    GRADIENT_CHANGE,
    LOSS_RANGE,
    RECALIBRATED_ACCURACY,
    SMOOTHNESS,
    TEST_ACCURACY,
    TRAIN_ACCURACY,
)
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms, Data, Runs, all_runs
from experiments._evidence.statistic import NotInDataError, Statistic
from experiments._evidence.value import median, spread
from experiments._nets import NETS

_FEW = 6  # diverged runs of a net that are listed one by one


def middle(runs: Runs, measure: Measure) -> float:
    """Return the median of a measure over the runs of a net."""
    return spread(map(measure.of, runs)).middle


def known_values(statistic: Statistic, data: Data) -> list[float]:
    """Return the known values of a statistic; none if the data lack something."""
    try:
        return [value for value in statistic.of(data).values() if not math.isnan(value)]
    except NotInDataError:
        return []


def ends(values: Iterable[float], form: Format) -> str:
    """Format the smallest and the largest of some values, without their unit."""
    low, _, high = spread(values)
    return "-" if math.isnan(low) else f"{form.number(low)} to {form.number(high)}"


def written(runs: Runs, measure: Measure) -> str:
    """Format the median of a measure over the runs of a net, with its unit."""
    return measure.format.written(middle(runs, measure))


def cell(value: float, form: Format) -> str:
    """Format a number for a table whose head names the unit, except for per cent."""
    if math.isinf(value) and form.unit == "steps":
        return "never"
    return form.written(value) if form.unit == "%" else form.number(value)


def by_net(rows: Mapping[str, Runs], columns: Mapping[str, Measure]) -> list[str]:
    """Format a row for each net, under its name in the table, and a column for each measure."""
    cells = {
        name: [cell(middle(runs, measure), measure.format) for measure in columns.values()]
        for name, runs in rows.items()
    }
    return grid(list(columns), cells)


def accuracies(rows: Mapping[str, Runs]) -> list[str]:
    """Format how soon and how well each net learns, and the tests with recalibrated statistics, if there are any."""
    columns = {
        "steps to 50 %": TRAIN_ACCURACY.steps_to(0.5),
        "steps to 80 %": TRAIN_ACCURACY.steps_to(0.8),
        "train": TRAIN_ACCURACY.at_end(50),
        "test": TEST_ACCURACY.at_end(),
        "best test": TEST_ACCURACY.highest(),
    }
    lines = [
        "Steps: until the median of five points of the training curve is as high; >: not in as many. Train: mean of the",
        "last 50 batches; test: all test examples, with running statistics. A run that diverged guesses.",
    ]
    if any("recalibrated_accuracy" in run.get("test", {}) for run in all_runs(rows)):
        columns["recalibrated"] = RECALIBRATED_ACCURACY.at_end()
        lines.append("Recalibrated: the last test, repeated with statistics of training examples.")
    return [*by_net(rows, columns), *lines]


def by_measure(
    arms: Mapping[str, Runs], rows: Mapping[str, Measure], ratio: tuple[str, str] | None = None
) -> list[str]:
    """Format a row for each measure and a column for each net.

    Args:
        arms: the runs of each net.
        rows: measures by their names in the table.
        ratio: two nets whose ratio, the median over seeds, is the last column; it is left out for signed numbers.
    """
    cells = {}
    for name, measure in rows.items():
        cells[name] = [cell(middle(runs, measure), measure.format) for runs in arms.values()]
        if ratio:
            times = median(measure.over(*ratio).of({"arms": arms}).values())
            cells[name].append("-" if measure.format.spec.startswith("+") else cell(times, TIMES))
    heads = [NETS[net].label for net in arms]
    return grid([*heads, *([f"{NETS[ratio[0]].short} / {NETS[ratio[1]].short}"] if ratio else [])], cells)


def landscape(arms: Arms) -> list[str]:
    """Format accuracy and landscape of nets without and with batch norm, medians over all scans during training."""
    rows = {
        "test accuracy": TEST_ACCURACY.at_end(),
        "training accuracy": TRAIN_ACCURACY.at_end(50),
        "loss range": LOSS_RANGE.median(),
        "gradient predictiveness": GRADIENT_CHANGE.median(),
        "effective smoothness": SMOOTHNESS.median(),
    }
    counts = (f"{NETS[net].label} {sum(len(SMOOTHNESS.curve(run)[0]) for run in runs)}" for net, runs in arms.items())
    return [
        "",
        *by_measure(arms, rows, ("plain", "batch_norm")),
        "Along the gradient: largest - smallest loss; largest change of the gradient (smaller predicts better); largest change",
        f"per distance moved (smaller is smoother). Medians over all scans of a training ({', '.join(counts)}), late ones",
        f"included, when a net that has learnt everything is flat by itself; then over {plural(len(arms['plain']), 'seed')}.",
        *divergences(arms),
    ]


def grid(heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> list[str]:
    """Format a head, and rows by their name; a row without cells is a heading for the rows that follow."""
    first = max(map(len, rows), default=0) + 2
    widths = [2 + max(len(cells[i]) for cells in [heads, *rows.values()] if cells) for i in range(len(heads))]
    lines = [(("", heads)), *rows.items()]
    return [
        f"{name:{first}}{''.join(f'{text:>{width}}' for text, width in zip(cells, widths, strict=False))}".rstrip()
        for name, cells in lines
    ]


def seeds(runs_of: Mapping[str, Any], noun: str = "seed") -> str:
    """Format the number of seeds, or draws, of a network's configuration."""
    return plural(len(runs_of["seeds"]), noun)


def divergences(arms: Arms) -> list[str]:
    """Format a line for each diverged run, or one for all of a net if there are many: its name, the seed and the step."""
    lines = []
    for arm, runs in arms.items():
        net = NETS[arm].label if arm in NETS else arm
        stops = {run["seed"]: run["diverged_at"] for run in runs if run["diverged_at"] is not None}
        if len(stops) > _FEW:
            first, last = min(stops.values()), max(stops.values())
            when = f"step {first:,}" if first == last else f"steps {first:,} to {last:,}"
            lines.append(f"Diverged: {net}, {len(stops)} of {len(runs)} runs: the loss stopped being finite at {when}.")
        else:
            lines += [
                f"Diverged: {net}, seed {seed}: the loss stopped being finite at step {step}."
                for seed, step in stops.items()
            ]
    return lines
