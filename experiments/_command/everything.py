"""Every experiment, one after another: `python -m experiments all`."""

import sys
import traceback
from pathlib import Path

from experiments._command import catalogue, cli, costs


def run_all(preset: str, results: Path, figures: Path, arguments: list[str]) -> list[str]:
    """Run or resume each experiment that has the preset, except for those that are done; go on where one fails.

    Args:
        preset: of every experiment.
        results: folder of the runs.
        figures: folder of the figures and their data; those of the preset `paper` are never replaced by another's.
        arguments: more options, for every experiment.

    Returns:
        The names of the experiments that failed.
    """
    failed = []
    for name in (name for name in catalogue.names() if preset in catalogue.module(name).PRESETS):
        target = [] if preset != "paper" and _is_published(name, figures) else ["--figures", str(figures)]
        if costs.state(name, preset, results) == "done" and (not target or costs.measured(name, preset, figures)):
            print(f"\n== {name}: done")
            continue
        print(f"\n== {name}", flush=True)
        options = ["--preset", preset, "--results", str(results), *target, *arguments]
        if not _succeeds(name, options):
            failed.append(name)
    return failed


def _is_published(name: str, figures: Path) -> bool:
    """Return whether a folder holds the result of the published setting."""
    return "paper" in catalogue.module(name).PRESETS and bool(costs.measured(name, "paper", figures))


def _succeeds(name: str, options: list[str]) -> bool:
    """Run an experiment; a signal that stopped it stops everything, with its exit status."""
    from bnjax._host.programs import free_programs

    try:
        cli.main(catalogue.module(name), options)
    except SystemExit as stop:
        if isinstance(stop.code, int) and stop.code > 128:
            raise
        return not stop.code
    except Exception:
        traceback.print_exc(file=sys.stderr)
        return False
    finally:
        free_programs()  # the next experiment trains other nets
    return True
