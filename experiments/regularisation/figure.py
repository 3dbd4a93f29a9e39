"""The figures of `regularisation`: the effects of the size of the normalised batch, and of dropout."""

from collections.abc import Callable
from typing import Any

from experiments._evidence.quantities import CHANCE, SMOOTHNESS, TEST_ACCURACY, TEST_LOSS
from experiments._evidence.quantity import Measure
from experiments._evidence.run import Arms
from experiments._figures import captions
from experiments._figures.figure import Block, Layout, make_figure
from experiments._figures.landscape import ARROW, SMOOTHER
from experiments._figures.panels import Dots
from experiments.regularisation import NETS, by_dropout, by_size
from experiments.regularisation.claims import BATCH_ERROR, GAP, INCONSISTENCY, POPULATION_ERROR, TRAIN_ERROR, gap_at

_SIZES = "examples that share statistics"


def plot(data: dict[str, Any]) -> Layout:
    """Show errors, gaps and smoothness by the number of examples that share statistics, and of the plain net."""
    config = data["config"]
    batch = config["optimizer"]["batch_size"]
    errors = {"training": TRAIN_ERROR.at_end(), "test": BATCH_ERROR.at_end()}
    tests = {"statistics of batches": BATCH_ERROR.at_end(), "of the population": POPULATION_ERROR.at_end()}
    gaps = {f"at training loss {level:g}": gap_at(level) for level in (0.5, 0.1)}
    error: Any = {"ylabel": "error", "scale": "percent", "chance": 1 - CHANCE}
    points: Any = {"ylabel": "points", "scale": "points", "line": 0}
    smoothness: Any = {"ylabel": "change / distance (nats/unit²)", "scale": "log"}
    rows = [
        [
            _sized(data, errors, title="Error, statistics of batches", **error),
            _sized(data, tests, title="Test error by its statistics", **error),
        ],
        [
            _sized(data, {"": GAP.at_end()}, title="Test - training error, at the end", **points),
            _sized(data, gaps, title="Test - training error, at equal loss", **points),
        ],
        [
            _sized(data, {"": INCONSISTENCY.at_end()}, title="Population's - batches' test error", **points),
            _sized(data, {"": SMOOTHNESS.median()}, title=SMOOTHER, **smoothness),
        ],
    ]
    return make_figure(
        f"{captions.network(config)}: batch norm over parts of a batch",
        [Block("", rows)],
        captions.recipe(config, data["preset"]),
        [_images(config), f"every net takes steps of {batch} examples; {batch} share statistics in usual batch norm"],
        [
            "dots: medians over seeds",
            "lines: smallest to largest",
            "errors: of the images at the end, without dropout",
            ARROW,
        ],
        captions.origin(data),
    )


def more(_data: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Layout]]:
    """Show dropout in a figure of its own."""
    return {"dropout": _dropout}


def _dropout(data: dict[str, Any]) -> Layout:
    """Show test accuracy and test loss by the share that dropout drops."""
    config = data["config"]
    columns = {f"{share:g}": arms for share, arms in by_dropout(data).items()}

    def panel(measure: Measure, title: str, ylabel: str, scale: Any) -> Dots:
        look: Any = {"xlabel": "share dropped of the last hidden layer", "scale": scale, "joined": True}
        return Dots(
            {net: data["arms"][net] for net in NETS}, columns, {"": measure}, title=title, ylabel=ylabel, **look
        )

    return make_figure(
        f"{captions.network(config)}: dropout with and without batch norm",
        [
            Block(
                "",
                [
                    [
                        panel(TEST_ACCURACY.at_end(), "Test accuracy", "accuracy", "percent"),
                        panel(TEST_LOSS.at_end(), "Test loss", "cross-entropy (nats)", "linear"),
                    ]
                ],
            )
        ],
        captions.recipe(config, data["preset"]),
        [_images(config), "dropout stands after the last normaliser"],
        ["dots: medians over seeds at the end of training, with running statistics", "lines: smallest to largest"],
        captions.origin(data),
    )


def _images(config: dict[str, Any]) -> str:
    subset = config["data"].get("subset")
    return ", ".join([*[f"{subset:,} training images"] * bool(subset), captions.images(config)])


def _sized(data: dict[str, Any], measures: dict[str, Any], **look: Any) -> Dots:
    """Show measures by the number of examples that share statistics, and of the plain net."""
    sizes: dict[str, Arms] = {f"{size:,}": {"batch_norm": runs} for size, runs in by_size(data).items()}
    columns = {**sizes, "no BN": {"plain": data["arms"]["plain"]}}
    nets = {net: data["arms"][net] for net in reversed(NETS)}
    return Dots(nets, columns, measures, joined=True, xlabel=_SIZES, **look)
