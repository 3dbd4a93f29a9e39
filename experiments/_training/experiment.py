"""The nets in the groups of an experiment, and the records of their finished runs."""

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax

from bnjax import train
from bnjax._host.output import say
from bnjax.runs import config_dict, folder_name, provenance, read_json, run_folder
from experiments._config import Options, RunConfig
from experiments._training.asked import Asked
from experiments._training.errors import config_errors, unreadable
from experiments._training.log import curves
from experiments._training.nets import Net, train_nets
from experiments._training.store import Found
from experiments._training.tasks import Task, make_task
from experiments._training.train import shared_mesh

Arms = Mapping[str, RunConfig]
Nets = dict[tuple[str, str, int], Net]


def train_all(groups: Mapping[str, Arms], options: Options) -> dict[str, Any]:
    """Train every arm and seed of each group, or resume them; see `train_nets` and `collect`."""
    nets = list_nets(groups, options)
    return collect(nets, train_nets(nets.values(), options))


def list_nets(groups: Mapping[str, Arms], options: Options, *, with_data: bool = True) -> Nets:
    """List the nets of an experiment by group, arm and seed; folders are made once all nets are accepted.

    Args:
        groups: configurations by name of the group and of the arm.
        options: folders of results and data.
        with_data: read the data, which are part of a run's identity. Nets without data can be found among packed runs, and
            have no folder.

    Raises:
        ConfigError: if a configuration cannot be run.
        MissingDataError: if a data set is not prepared.
    """
    with config_errors():
        for config in (config for arms in groups.values() for config in arms.values()):
            config.check_layers()
        tasks = {
            (group, arm): make_task(config.net(), options.data_dir, shared_mesh(options))
            for group, arms in groups.items()
            for arm, config in arms.items()
        }
        nets = {}
        for (group, arm), task in tasks.items():
            config = groups[group][arm]
            folder = _folder(config, task, Path(options.results), with_data)
            for seed in config.seeds:
                label, place = f"{arm.replace('_', ' ')}, seed {seed}", folder / f"seed{seed}"
                nets[group, arm, seed] = Net(config, task, Asked.of(config), seed, label, place)
    return nets


def measure_all(measured: Iterable[tuple[str, Any]], report: Callable[[str], object]) -> dict[str, Any]:
    """Measure the nets of an experiment without training, group by group.

    Args:
        measured: name and arms of each group, made lazily.
        report: called with one line for each group.

    Returns:
        The same as `collect`.
    """
    start, groups = time.perf_counter(), {}
    for group, arms in measured:
        groups[group] = arms
        report(f"Measured: {group}")
    return {**groups, "provenance": [provenance()], "seconds": round(time.perf_counter() - start, 1)}


def _read(net: Net, run: Found) -> dict[str, Any]:
    """Return the requested curves of a net.

    Raises:
        ConfigError: if its log cannot be used.
    """
    try:
        return curves(run.lines, net.asked, net.task)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise unreadable(run.place, error) from error


def _folder(config: RunConfig, task: Task, results: Path, with_data: bool) -> Path:
    """Return the folder of a net's runs, made if their data are known; print a note if one differs only in its data."""
    if not with_data:
        return results / folder_name(config.kind, config.identity())
    identity = config.identity(**facts(task))
    name = folder_name(config.kind, identity)
    if not (results / name).exists():
        own = json.loads(json.dumps(config_dict(identity) | {"data_digest": ""}))
        for file in sorted(results.glob(f"{config.kind}-*/config.json")):
            with contextlib.suppress(OSError, ValueError, TypeError):
                if read_json(file) | {"data_digest": ""} == own:
                    line = f"{file.parent.name} holds runs of the same net on other data; {name} is trained on these."
                    say(f"note: {line}", sys.stderr)
    return run_folder(results, config.kind, identity)


def facts(task: Task) -> dict[str, Any]:
    """Return the facts that determine the numbers of a task's runs besides their configuration, see `Facts`."""
    generator = jax.config.jax_default_prng_impl  # pyright: ignore[reportAttributeAccessIssue]
    is_partitionable = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    return {
        "data_digest": task.digest(),
        "drawing": f"{train.DRAWING}, {generator}{', partitionable' * is_partitionable}",
        "x64": bool(jax.config.jax_enable_x64),  # pyright: ignore[reportAttributeAccessIssue]
    }


def collect(nets: Mapping[tuple[str, str, int], Net], found: Mapping[Path, Found]) -> dict[str, Any]:
    """Collect the curves that an experiment requested of its nets.

    Args:
        nets: nets by group, arm and seed.
        found: the finished runs by the folders of the nets.

    Returns:
        {group: {arm: [curves of each seed]}, "provenance": of every command that trained, "seconds": training time}; a run
        that is longer than requested counts with its share of the time.
    """
    groups: dict[str, dict[str, list[dict[str, Any]]]] = {}
    shares: dict[Path, float] = {}
    for (group, arm, seed), net in nets.items():
        run = found[net.folder]
        share = min(1.0, net.asked.num_steps / max(1, run.num_steps))
        shares[net.folder] = max(share, shares.get(net.folder, 0.0))
        recorded = {"seed": seed, **_read(net, run), "seconds": round(share * run.seconds, 3)}
        groups.setdefault(group, {}).setdefault(arm, []).append(recorded)
    origins = [origin for folder in shares for origin in found[folder].provenance]
    return {
        **groups,
        "provenance": [origin for i, origin in enumerate(origins) if origin not in origins[:i]],
        "seconds": round(sum(share * found[folder].seconds for folder, share in shares.items()), 1),
    }
