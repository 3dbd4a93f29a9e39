"""`python -m experiments` lists the experiments; `python -m experiments NAME` runs one."""

import ast
import importlib
import pkgutil
import sys
from pathlib import Path

from experiments import _cli

_USAGE = """usage: python -m experiments NAME [--preset PRESET] [OPTIONS]    run an experiment, or resume it
       python -m experiments NAME --help                      list its presets and options
       python -m experiments draw FILE ...                    draw a figure's data (.json) or a probe's result (.npz)
"""


def names() -> list[str]:
    """List the experiments: the modules beside this one that have no leading underscore."""
    modules = pkgutil.iter_modules([str(Path(__file__).parent)])
    return [module.name for module in modules if not module.ispkg and not module.name.startswith("_")]


def title(name: str) -> str:
    """Return the first line of an experiment's docstring, without importing it."""
    source = (Path(__file__).parent / f"{name}.py").read_text()
    return (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]


def main(arguments: list[str]) -> None:
    """Run the command line."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE)
        print("\n".join(f"  {name:14} {title(name)}" for name in names()))
        return
    name, rest = arguments[0], arguments[1:]
    if name == "draw":
        _draw(rest)
    elif name in names():
        _cli.main(importlib.import_module(f"experiments.{name}"), rest)
    else:
        sys.exit(_complain(f"there is no experiment {name!r}; there are: {', '.join(names())}."))


def _draw(files: list[str]) -> None:
    """Draw figures beside their data files."""
    if files[:1] in (["-h"], ["--help"]):
        print(_USAGE)
        return
    if not files:
        sys.exit(_complain("draw needs a file: the data of a figure (.json) or the result of a probe (.npz)."))
    rest = [Path(file) for file in files]
    while rest:
        file = rest.pop(0)
        try:
            print(_draw_result(file, rest) if file.suffix == ".npz" else _draw_data(file))
        except OSError as error:
            sys.exit(_complain(f"{error.strerror}: {error.filename}"))
        except (ValueError, LookupError, TypeError) as error:
            sys.exit(_complain(f"{file} cannot be drawn ({type(error).__name__}: {' '.join(str(error).split())})"))


def _draw_data(file: Path) -> Path:
    """Draw the figure of an experiment."""
    from bnjax.records import read_json

    if file.suffix != ".json":
        sys.exit(_complain(f"{file} must be the data of a figure (.json) or the result of a probe (.npz)."))
    name = read_json(file)["experiment"]
    if name not in names():
        sys.exit(_complain(f"{file} is the data of {name!r}; there is no such experiment here."))
    return _cli.draw(importlib.import_module(f"experiments.{name}"), file)


def _draw_result(file: Path, rest: list[Path]) -> Path:
    """Draw what a probe returned; principal axes that come next are taken, and their path is drawn over a plane."""
    from bnjax import probes
    from experiments._figures.plane import plane_figure
    from experiments._figures.results import result_figure

    result = probes.load(file)
    follows = isinstance(result, probes.PlaneScan) and rest and rest[0].suffix == ".npz"
    axes = probes.load(rest[0]) if follows else None
    if isinstance(axes, probes.directions.PrincipalAxes):
        rest.pop(0)
        figure = plane_figure(result, axes)
    else:
        figure = result_figure(result)
    picture = file.with_suffix(".png")
    figure.savefig(picture)
    return picture


def _complain(message: str) -> int:
    """Print one line on standard error; return the exit status."""
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:  # before a run began, or for the second time
        sys.exit(130)
