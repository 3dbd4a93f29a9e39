"""`python -m experiments` lists the experiments; `python -m experiments NAME` runs one."""

import ast
import importlib
import pkgutil
import sys
from pathlib import Path

from experiments import _cli

_USAGE = """usage: python -m experiments NAME [--preset PRESET] [OPTIONS]    run an experiment, or resume it
       python -m experiments NAME --help                      list its presets and options
       python -m experiments redraw FILE.json                 draw a figure again from its data file
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
    if name == "redraw":
        _redraw(rest)
    elif name in names():
        _cli.main(importlib.import_module(f"experiments.{name}"), rest)
    else:
        sys.exit(_complain(f"there is no experiment {name!r}; there are: {', '.join(names())}."))


def _redraw(files: list[str]) -> None:
    """Draw figures again from their data files."""
    from bnjax.records import read_json

    for file in map(Path, files):
        try:
            name = read_json(file)["experiment"]
            if name not in names():
                sys.exit(_complain(f"{file} is the data of {name!r}; there is no such experiment here."))
            print(_cli.draw(importlib.import_module(f"experiments.{name}"), file))
        except (OSError, ValueError, LookupError, TypeError) as error:
            sys.exit(_complain(f"{file} is not the data file of a figure ({type(error).__name__}: {error})."))


def _complain(message: str) -> int:
    """Print one line on standard error; return the exit status."""
    print(f"error: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:  # before a run began, or for the second time
        sys.exit(130)
