"""Data of experiments, made from packed runs alone: no data set is read, and nothing is trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments._command import catalogue, cli
from experiments._config import Options


class MissingRunsError(ValueError):
    """Runs of a preset are not packed; the message is one line."""


def data_of(name: str, preset: str, packed: Path, report: Callable[[str], object]) -> dict[str, Any]:
    """Make the data of an experiment's preset.

    Args:
        name: name of the experiment.
        preset: one of its presets.
        packed: folder of packed runs.
        report: called with one line for each file that cannot be used.

    Raises:
        MissingRunsError: if not all runs of the preset are packed with the measurements needed.
        ValueError: if there is no such preset or folder, or it holds runs of the same net with different data.
    """
    from bnjax.runs import config_dict
    from experiments._evidence.keep import keep
    from experiments._training.errors import ConfigError
    from experiments._training.experiment import collect
    from experiments._training.packing import find_packed

    experiment = catalogue.module(name)
    if preset not in experiment.PRESETS:
        known = ", ".join(experiment.PRESETS)
        raise ValueError(f"{name} has no preset {preset!r}; of packed runs data are made of presets alone: {known}.")
    config = experiment.PRESETS[preset]
    try:
        nets = cli.nets_of(experiment, config, Options(), with_data=False)
        if not nets:
            raise MissingRunsError(
                f"Nothing of {name} is packed, since it trains nothing. "
                f"To measure it: python -m experiments {name} --preset {preset}"
            )
        found = find_packed(nets.values(), packed, report)
        missing = sorted(
            {
                f"{net.label} ({arm})"
                for (_, arm, _), net in nets.items()
                if net.folder not in found or not found[net.folder].covers(net.asked)
            }
        )
        if missing:
            more = f" and {len(missing) - 1} more" * (len(missing) > 1)
            raise MissingRunsError(
                f"{packed} lacks {missing[0]}{more} of {name}, preset {preset}. "
                f"To train them: python -m experiments {name} --preset {preset} --packed {packed}"
            )
        data = keep(collect(nets, found), experiment.KEEP)
    except ConfigError as error:
        raise ValueError(str(error)) from error
    return {"experiment": name, "preset": preset, "config": config_dict(config), **data}
