"""What the experiments share that train with and without batch norm and scan the landscape along the way."""

from pathlib import Path
from typing import Any

from experiments._presets import with_and_without
from experiments._config import Options, VGGRun


def run(config: VGGRun, options: Options, _folder: Path) -> dict[str, Any]:
    """Train and probe both nets; return the data of the figure."""
    from experiments._training.experiment import train_all

    return train_all({"arms": with_and_without(config)}, options)


def summarise(data: dict[str, Any]) -> str:
    """Put the result into a table."""
    from experiments._numbers.curves import table

    return table(data)


def plot(data: dict[str, Any]) -> Any:
    """Draw accuracy, loss band, gradient predictiveness and effective smoothness."""
    from experiments._figures.landscape import landscape_figure

    return landscape_figure(data)
