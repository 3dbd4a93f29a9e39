"""The table and the findings of LSTMs with and without normalisers."""

from typing import Any

from experiments._evidence.format import PERCENT, listing
from experiments._evidence.run import Arms, Runs
from experiments._evidence.table import by_net, divergences, middle, seeds
from experiments._nets import NETS
from experiments.recurrent import NORMS, setting
from experiments.recurrent.claims import ACCURACY, FLOW

_WITH = {
    "layer_norm": "with layer norm",
    "batch_norm": "with batch norm and statistics of each time step",
    "shared_batch": "with batch norm and statistics shared over time",
}
_STEPS = {f"steps to {100 * level:g} %": ACCURACY.steps_to(level, points=1) for level in (0.9, 0.97)}


def by_batch(data: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Sort runs by mini-batch size, ascending: those of the plain net, and those with a normaliser by scale."""
    config, found = data["config"], {}
    for group in ("small", "large"):
        found[config[group]["optimizer"]["batch_size"]] = _by_scale(data[group], config["scales"])
    for size in config["between"] if "between" in data else ():
        found.setdefault(size, _by_scale(data["between"], config["scales"], size))
    return dict(sorted(found.items()))


def _by_scale(arms: Arms, scales: list[float], size: int | None = None) -> dict[str, Any]:
    plain = "plain" if size is None else f"plain_{size}"
    names = {scale: {net: setting(scale, size).arm(net) for net in NORMS} for scale in scales}
    nets = {scale: {net: arms[arm] for net, arm in of.items() if arm in arms} for scale, of in names.items()}
    return {"plain": arms[plain], "by_scale": nets}


def summarise(data: dict[str, Any]) -> str:
    """Put speed, accuracy and the flow of gradients into a table, a row for each net."""
    flow = {"gradient, start": FLOW.median(0, 0), "end": FLOW.at_end()}
    lines = [
        *by_net(_named(data), {**_STEPS, "test": ACCURACY.at_end(), **flow}),
        f"Medians over {seeds(data['config']['large'])}; >: not in as many. Test: all test examples, with running statistics.",
        "Gradient: by the hidden states after the first time step, as a multiple of that after the last, at the first and the",
        "last measurement.",
    ]
    return "\n".join(["", *lines, *divergences(_named(data))])


def findings(data: dict[str, Any]) -> str:
    """Describe the accuracy for each size of mini-batches, and how much of the gradient reaches the first time step."""
    sentences = []
    for size, arms in by_batch(data).items():
        ends = {f"from scale {scale:g}": nets for scale, nets in arms["by_scale"].items()}
        by_scale = [
            f"{listing(f'{_accuracy(runs)} {_WITH[net]}' for net, runs in nets.items())}, {scale}"
            for scale, nets in ends.items()
        ]
        sentences.append(
            f"With mini-batches of {size}, the LSTM ends at a test accuracy of {_accuracy(arms['plain'])} "
            f"without a normaliser; of {'; of '.join(by_scale)}."
        )
    large = by_batch(data)[data["config"]["large"]["optimizer"]["batch_size"]]
    flows = [
        f"{_flow(nets['batch_norm'])} with batch norm of scale {scale:g}" for scale, nets in large["by_scale"].items()
    ]
    sentences.append(
        "At initialisation the gradient by the hidden states after the first time step, as a multiple of that after the last, "
        f"is {_flow(large['plain'])} without a normaliser, {', '.join(flows)}."
    )
    return " ".join([*sentences, *divergences(_named(data))])


def _accuracy(runs: Runs) -> str:
    return PERCENT.written(middle(runs, ACCURACY.at_end()))


def _flow(runs: Runs) -> str:
    return f"{FLOW.format.rounded(middle(runs, FLOW.median(0, 0)))} times"


def _named(data: dict[str, Any]) -> dict[str, Any]:
    """Name the runs of each net by its size of mini-batches and its scale."""
    found = {}
    for size, arms in by_batch(data).items():
        found[f"{NETS['plain'].label}, batch {size}"] = arms["plain"]
        for scale, nets in arms["by_scale"].items():
            found |= {f"{NETS[net].label}, batch {size}, scale {scale:g}": runs for net, runs in nets.items()}
    return found
