"""Every experiment, one after another: `python -m experiments all`."""

import sys
import traceback
from pathlib import Path

from bnjax._host.output import say
from experiments._command import catalogue, cli, costs


def run_all(preset: str, results: Path, figures: Path, arguments: list[str]) -> list[str]:
    """Run or resume each experiment that has the preset and is not done; continue if one fails.

    Args:
        preset: name of the preset, the same for every experiment.
        results: folder of the runs.
        figures: folder of the figures and their data.
        arguments: more options, for every experiment.

    Returns:
        The names of the experiments that failed.
    """
    failed, waiting = [], []
    names = [name for name in catalogue.names() if preset in catalogue.module(name).PRESETS]
    without = [name for name in catalogue.names() if name not in names]
    if without:
        say(f"Left out, without a preset {preset}: {', '.join(without)}.")
    say(costs.expected_of_all(names, preset))
    for name in names:
        if costs.state(name, preset, results) == "done" and costs.measured(name, preset, figures):
            say(f"\n== {name}: done")
        else:
            waiting.append(name)
    for i, name in enumerate(waiting):
        say(f"\n== {name}")
        options = ["--preset", preset, "--results", str(results), "--figures", str(figures), *arguments]
        if not _succeeds(name, options, [(other, preset) for other in waiting[i + 1 :]]):
            failed.append(name)
    return failed


def _succeeds(name: str, options: list[str], later: list[tuple[str, str]]) -> bool:
    """Return whether an experiment ran without an error; a signal that stops it stops all, with its exit status."""
    from bnjax._host.programs import free_programs

    try:
        cli.main(catalogue.module(name), options, later)
    except SystemExit as stop:
        if isinstance(stop.code, int) and stop.code > 128:
            raise
        return not stop.code
    except Exception:
        say(traceback.format_exc().rstrip("\n"), sys.stderr)
        return False
    finally:
        free_programs()  # the next experiment trains other nets
    return True
