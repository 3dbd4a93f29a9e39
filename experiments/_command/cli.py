"""The command line that every experiment shares: presets, overrides, one-line errors, and where results go."""

import contextlib
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from bnjax._host.output import say, unfailing_output
from experiments._command import arguments as command_arguments
from experiments._command import catalogue, costs, pictures
from experiments._config import Images, Options
from experiments._evidence.read import is_old, read_data, write_data
from experiments._presets import LONG
from experiments._training import processes


@unfailing_output()
def main(experiment: ModuleType, arguments: list[str], later: Sequence[tuple[str, str]] = ()) -> None:
    """Run one experiment: parse, train or resume, write data and figure, print the results.

    An experiment is a package: `PRESETS` (name to configuration) and `groups(config)`, the nets to be trained, with `KEEP`,
    which lists what the data file keeps, and so what the nets must measure; `figure.plot(data)`, which lays out the figure; and
    `table.summarise(data)`, which describes the data in words. One that measures in its own way has `runs.nets(config, options,
    with_data)` in place of `groups`; one that trains nothing has `runs.measure(config, options)`, see `measure_all`.

    Args:
        experiment: the package.
        arguments: its command-line arguments.
        later: names and presets of experiments that follow; what they need from the same runs is measured at once.
    """
    name = experiment.__name__.rsplit(".", 1)[-1]
    try:
        preset, config, options = command_arguments.parse(name, experiment.__doc__ or "", experiment.PRESETS, arguments)
    except ValueError as error:
        _fail(str(error))

    # The steps that need no jax come first: importing it takes longer than all of them.
    from bnjax._host.files import check_writable, remedy
    from bnjax.data import DataError, check_prepared
    from bnjax.data.prepared import VERSIONS
    from bnjax.runs import config_dict

    start = time.perf_counter()
    if options.distributed:
        try:
            processes.join()
        except ValueError as error:
            _fail(str(error))
    targets = [Path(options.figures)] if options.figures else []
    try:
        for dataset in sorted(_datasets(config) & {*VERSIONS}):
            check_prepared(dataset, options.data_dir)
        for target in targets:
            check_writable(target)
        if options.packed and not Path(options.packed).is_dir():
            _fail(f"packed must be a folder of packed runs, there is no {options.packed}.")
        say(costs.expected(name, preset, config))
        folder, data = _run(experiment, name, config, options, later or beside(name, preset))
        head = {"experiment": name, "preset": preset, "config": config_dict(config)}
        stem = costs.stem(name, preset, config)
        _publish(experiment, [target / f"{stem}.json" for target in (folder, *targets)], {**head, **data})
    except processes.Elsewhere:
        return
    except DataError as error:
        _fail(str(error))
    except OSError as error:
        if error.filename is None:
            raise
        way_out = remedy(error, Path(error.filename).parent)
        then = f". {way_out[0].upper()}{way_out[1:]}; the same command continues." if way_out else ""
        _fail(f"{error.strerror}: {error.filename}{then}")
    except MemoryError as error:
        _fail(str(error) or "There is not enough memory. The same command continues from what is saved.", 1)
    except (RuntimeError, ValueError) as error:  # from JAX, when a device has too little memory or a process has ended
        processes.check_lost(error)
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        _fail(f"One run must fit into the device's memory: {str(error).splitlines()[0]}", 1)
    say(f"\nThis command took {time.perf_counter() - start:.0f} s.")


def beside(name: str, preset: str) -> list[tuple[str, str]]:
    """List the other experiments that share the runs of a long preset; one training makes all their measurements."""

    def shared(experiment: str, preset: str) -> str:
        """Return the name that other experiments use for a preset that trains the same nets."""
        return getattr(catalogue.module(experiment), "SHARED_PRESETS", {}).get(preset, preset)

    if preset not in LONG:
        return []
    return [
        (other, own)
        for other in catalogue.names()
        if other != name
        for own in catalogue.module(other).PRESETS
        if shared(other, own) == shared(name, preset)
    ]


def _datasets(config: Any) -> set[str]:
    """List the data sets that a configuration names, at any depth."""
    if isinstance(config, Images):
        return {config.dataset}
    nested = [getattr(config, field.name) for field in fields(config)]
    return set().union(*(_datasets(value) for value in nested if is_dataclass(value)))


def _run(
    experiment: ModuleType, name: str, config: Any, options: Options, later: Sequence[tuple[str, str]]
) -> tuple[Path, dict[str, Any]]:
    """Train, or resume; return the folder and the data of the figure."""
    import jax

    from bnjax._host.processes import is_first
    from bnjax.runs import lock, run_folder
    from bnjax.sweep.saving import SaveError
    from bnjax.sweep.signals import Interrupted
    from experiments._training.errors import ConfigError, config_errors

    try:
        jax.devices()
    except (AssertionError, RuntimeError) as error:
        platforms = jax.config.jax_platforms  # pyright: ignore[reportAttributeAccessIssue]
        _fail(
            f"JAX finds no device for JAX_PLATFORMS={platforms} ({str(error) or type(error).__name__}). "
            "Install what drives it: pip install 'bnjax[cuda12]', 'bnjax[cuda13]' or 'bnjax[tpu]'."
        )
    _name_old_runs(Path(options.results))
    known = set(Path(options.results).glob(f"{name}-*"))
    folder = Path(options.results)
    try:
        with contextlib.ExitStack() as stack:
            with config_errors():
                folder = run_folder(options.results, name, config)
                stack.enter_context(lock(folder))
            if folder not in known and is_first():
                stack.push(partial(_forget, folder))
            return folder, _collect(experiment, config, options, later)
    except ConfigError as error:
        _fail(str(error))
    except SaveError as error:
        _fail(str(error), 1)
    except Interrupted as stop:
        say(f"Stopped; {stop.where()}. The same command continues.")
        sys.exit(128 + stop.signal_number)
    except KeyboardInterrupt:  # outside training, which would save its state
        say("Stopped; nothing was saved. The same command starts again.")
        sys.exit(128 + signal.SIGINT)


def _name_old_runs(results: Path) -> None:
    """Print one line about runs that cannot be continued because their configurations have an older form."""
    from bnjax.runs import read_json

    old = []
    for file in sorted(results.glob("*/config.json")):
        with contextlib.suppress(OSError, ValueError, RecursionError):
            old += [file.parent.name] * is_old(read_json(file), file.parent.name)
    if old:
        more = f" and {len(old) - 1} more" * (len(old) > 1)
        say(
            f"note: {results / old[0]}{more} hold runs of an older version, which are not continued. Remove them, or choose "
            "another folder with --results.",
            sys.stderr,
        )


def _collect(experiment: ModuleType, config: Any, options: Options, later: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Train an experiment's nets, and return the results that its data file keeps."""
    from bnjax.data import DataError
    from experiments._evidence.keep import keep
    from experiments._training.errors import ConfigError, config_errors
    from experiments._training.experiment import collect, measure_all
    from experiments._training.nets import train_nets
    from experiments._training.packing import find_packed

    runs = _part(experiment, "runs")
    if hasattr(runs, "measure"):
        with config_errors():
            return keep(measure_all(runs.measure(config, options), say), experiment.KEEP)
    nets, beside, packed = nets_of(experiment, config, options), [], {}
    for name, preset in later:
        with contextlib.suppress(ConfigError, DataError):  # these errors end that experiment, not this one
            other = catalogue.module(name)
            beside += nets_of(other, other.PRESETS[preset], options).values()
    if options.packed:
        with config_errors():
            packed = find_packed(nets.values(), Path(options.packed), _tell)
    return keep(collect(nets, train_nets(nets.values(), options, beside, packed)), experiment.KEEP)


def _tell(problem: str) -> None:
    """Print a note about a packed run that cannot be used."""
    say(f"note: {problem} It does not count.", sys.stderr)


def nets_of(experiment: ModuleType, config: Any, options: Options, *, with_data: bool = True) -> Any:
    """List an experiment's nets by group, arm and seed; without data, they can only be looked up among packed runs.

    Raises:
        ConfigError: if the configuration cannot be run.
        MissingDataError: if a data set is not prepared.
    """
    from experiments._evidence.keep import check_needs
    from experiments._training.errors import config_errors
    from experiments._training.experiment import list_nets

    runs = _part(experiment, "runs")
    if hasattr(runs, "measure"):  # nothing is trained
        return {}
    if runs:  # the experiment makes its own measurements
        return runs.nets(config, options, with_data=with_data)
    with config_errors():
        groups = experiment.groups(config)
        check_needs(config, groups, experiment.KEEP)
    return list_nets(groups, options, with_data=with_data)


def _forget(folder: Path, kind: type[BaseException] | None, *_error: object) -> None:
    """Remove the folder of a rejected configuration, if it holds nothing else."""
    from bnjax.data import DataError
    from experiments._training.errors import ConfigError

    refused = kind is not None and issubclass(kind, ConfigError | DataError)
    if refused and {file.name for file in folder.glob("*")} <= {"config.json", "lock"}:
        shutil.rmtree(folder, ignore_errors=True)


def _publish(experiment: ModuleType, files: list[Path], data: dict[str, Any]) -> None:
    """Write the data and the figures at each path; print the table and the paths."""
    for file in files:
        write_data(file, data)
    drawn = pictures.draw_data(experiment, read_data(files[0]))
    for file in files:
        pictures.write(file, drawn)
    say(_part(experiment, "table").summarise(data))
    name = experiment.__name__.rsplit(".", 1)[-1]
    for other in costs.other_normalisers(name, data):
        say(f"\nWhere the table and the figure say BN, it is another normaliser ({other}); these data decide no claim.")
    say("\nWritten:")
    for file in files:
        for part in drawn:
            say(f"  {pictures.name_of(file, part)}    {'the figure' if not part else part.replace('_', ' ')}")
        say(f"  {file}   its data")
        say(f"  {pictures.name_of(file, '', narrow=True).parent}   figures for narrow screens")


def _part(experiment: ModuleType, which: str) -> Any:
    """Import a module of the experiment's package."""
    return catalogue.part(experiment.__name__.rsplit(".", 1)[-1], which)


def _fail(message: str, status: int = 2) -> NoReturn:
    """End with one line on standard error."""
    processes.check_lost(message)
    say(f"error: {message}", sys.stderr)
    processes.leave(status)
