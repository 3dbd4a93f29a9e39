"""The figures of `evaluation`: accuracy by the statistics that normalise, and how far activations leave their range."""

from collections.abc import Callable, Mapping
from typing import Any

from experiments._config.probes import CORRUPTIONS
from experiments._evidence.run import Arms
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.panels import Dots
from experiments.evaluation import by_size
from experiments.evaluation.quantities import accuracy, changed, distance, growth

_TWO = ("plain", "batch_norm")


def plot(data: dict[str, Any]) -> Layout:
    """Show accuracy on corrupted images above, and by the batches of the training below."""
    arms, names = {net: data["arms"][net] for net in _TWO}, _columns(data)
    shifted = {
        "running statistics": lambda column: accuracy(names[column], "running").at_end(),
        "adapted": lambda column: accuracy(names[column], "adapted").at_end(),
    }
    usual: Any = {"ylabel": "accuracy", "scale": "percent"}
    modes = {"running": accuracy("clean", "running").at_end(), "batch's own": accuracy("clean", "batch").at_end()}
    sizes = {f"{size:,}": nets for size, nets in by_size(data).items()}
    special = {f"{data['config']['labels']['data']['per_label']} per label": dict(data["labels"])}
    nets = {net: data["small"][net] for net in ("batch_norm", "renorm")}
    rows = [
        [Dots(arms, dict.fromkeys(names, arms), shifted, title="Corrupted test images", xlabel="", **usual)],
        [
            Dots(
                nets,
                {**sizes, **special},
                modes,
                title="Statistics of small or sorted batches",
                xlabel="batch",
                **usual,
            ),
            Dots(arms, dict.fromkeys(_MODES, arms), _by_mode(), title="Test images, by statistics", xlabel="", **usual),
        ],
    ]
    return _figure(data, "accuracy by the statistics that normalise", rows)


_MODES = {"running": "running", "batch": "batch", "recalibrated": "recalibrated", "adapted": "adapted"}


def _by_mode() -> Mapping[str, Any]:
    return {"": lambda column: accuracy("clean", column).at_end()}


def more(_data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Show activations in a figure of their own."""
    return {"activations": _activations}


def _activations(data: dict[str, Any]) -> Layout:
    """Show how far means are from the running ones, how large activations are, and how far logits depend on the batch."""
    arms: Arms = {"batch_norm": data["arms"]["batch_norm"]}
    names: dict[str, tuple[str, Arms]] = {label: (shift, arms) for label, shift in _columns(data).items()}
    names["held-out\nclasses"] = ("held_out", data["classes"])
    for name, runs in data["tiny"].items():
        names[f"few,\nbatch {name.rpartition('_')[2]}"] = ("clean", {"batch_norm": runs})
    columns = {label: runs for label, (_, runs) in names.items()}

    def panel(of: Any, **look: Any) -> Dots:
        return Dots(arms, columns, {"": lambda column: of(names[column][0]).at_end()}, xlabel="", **look)

    modes, both = {"running": "running", "batch's own": "batch"}, {net: data["arms"][net] for net in _TWO}
    change: Any = {"": lambda column: changed(modes[column]).at_end()}
    look: Any = {"ylabel": "nats", "xlabel": "statistics", "scale": "linear"}
    far: Any = {"title": "Distance of the means from the running ones", "ylabel": "in running std", "scale": "linear"}
    large: Any = {
        "title": "Largest |pre-activation| of any layer",
        "ylabel": "as a multiple of the training's",
        "line": 1,
    }
    rows = [
        [panel(distance, **far)],
        [panel(growth, **large)],
        [
            Dots(
                both,
                dict.fromkeys(modes, both),
                change,
                title="Change of a logit by the other images of a batch",
                **look,
            )
        ],
    ]
    return _figure(data, "activations with running statistics", rows)


def _columns(data: dict[str, Any]) -> dict[str, str]:
    """Label the shifts that were measured."""
    shifts = data["config"]["vgg"]["probes"]["evaluation"]["shifts"]
    return {"clean": "clean"} | {name.replace("_", "\n"): name for name in CORRUPTIONS if name in shifts}


def _figure(data: dict[str, Any], title: str, rows: Any) -> Layout:
    config = data["config"]
    vgg = config["vgg"]
    tiny = f"few: {config['tiny']['data']['subset']:,} training images"
    return make_figure(
        f"{captions.network(vgg)}: {title}",
        [Block("", rows)],
        captions.recipe(vgg, data["preset"]),
        [captions.images(vgg), "other batch sizes: learning rate in proportion, as many images", tiny],
        [
            "adapted: statistics of the tested images",
            "without BN: each batch is restandardised to the moments of training images, so that its images matter",
            "dots: medians over seeds",
            "lines: smallest to largest",
        ],
        captions.origin(data),
    )
