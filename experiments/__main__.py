"""`python -m experiments` lists the experiments; `python -m experiments NAME` runs one."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bnjax._host.output import occupy_standard_files, one_line, printable, say, unfailing, unfailing_output
from experiments._command import catalogue, cli, costs, everything, pictures
from experiments._command.catalogue import names as names
from experiments._command.catalogue import title as title
from experiments._evidence.read import write_data

COMMANDS = ("all", "clean", "draw", "pack", "report")
_USAGE = """usage: python -m experiments NAME [--preset PRESET] [OPTIONS]    run an experiment, or resume it
       python -m experiments NAME --help                      list its presets and options
       python -m experiments all [--preset PRESET]            run or resume every experiment, then write the report
       python -m experiments report [--figures FOLDER]        write the page that shows claims and figures
       python -m experiments draw [--vector] FILE ...         draw a figure's data (.json) or a probe's result (.npz)
       python -m experiments pack [--results FOLDER]          pack finished runs into small files, which --packed counts
       python -m experiments clean [--results FOLDER]         list what results take on disk, and what can go
       python -m experiments [--results FOLDER]               list them, with what each preset costs and how far it is
"""


def main(arguments: list[str]) -> None:
    """Run the command line."""
    if not arguments or arguments[0].startswith("-"):
        try:
            print(printable(_list(arguments)), flush=True)
        except BrokenPipeError:
            raise
        except OSError as error:  # of a command that does nothing but print
            sys.exit(_complain(f"standard output cannot be written: {error.strerror}."))
        return
    name, rest = arguments[0], arguments[1:]
    if name in COMMANDS:
        {"all": _run_all, "clean": _clean, "draw": _draw, "pack": _pack, "report": _report}[name](rest)
    elif name in names():
        cli.main(catalogue.module(name), rest)
    else:
        sys.exit(_complain(f"there is no experiment {name!r}; there are: {', '.join(names())}."))


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        sys.exit(_complain(message))


def _list(arguments: list[str]) -> str:
    """List the experiments, with cost and state of each preset."""
    parser = _Parser(prog="python -m experiments", add_help=False, allow_abbrev=False)
    parser.add_argument("--results", default="results")
    parser.add_argument("-h", "--help", action="store_true")
    results = Path(parser.parse_args(arguments).results)
    lines = [_USAGE]
    for name in names():
        lines.append(f"{name:20}{title(name)}")
        for preset in catalogue.module(name).PRESETS:
            lines.append(f"  {preset:20}{costs.cost(name, preset):32}{costs.state(name, preset, results)}")
    return "\n".join(lines)


@unfailing_output()
def _run_all(arguments: list[str]) -> None:
    """Run every experiment, then write the report."""
    parser = _Parser(prog="python -m experiments all", allow_abbrev=False)
    parser.add_argument("--preset", default="cpu", help="of every experiment that has it (cpu)")
    parser.add_argument(
        "--results", default="results", type=Path, help="folder of the runs and of the report (results)"
    )
    parser.add_argument("--figures", type=Path, help="folder of figures and data (figures, in that of the runs)")
    parser.add_argument("--data-dir", help="folder of prepared data sets")
    parser.add_argument("--packed", help="folder of packed runs, which count as done")
    options = parser.parse_args(arguments)
    if not any(options.preset in catalogue.module(name).PRESETS for name in names()):
        parser.error(f"no experiment has a preset {options.preset!r}.")
    figures = options.figures or options.results / "figures"
    given = {"--data-dir": options.data_dir, "--packed": options.packed}
    more = [word for flag, value in given.items() if value for word in (flag, value)]
    failed = everything.run_all(options.preset, options.results, figures, more)
    say("\n== report")
    status = _write_report(figures, options.results / "report.html")
    if failed:
        _complain(f"these experiments failed: {', '.join(failed)}; what they said stands above.")
    if failed or status:
        sys.exit(1)


def _clean(arguments: list[str]) -> None:
    """List what results take on disk; asked to, remove the checkpoints of finished runs."""
    from experiments._command import clean

    parser = _Parser(prog="python -m experiments clean", allow_abbrev=False)
    parser.add_argument("--results", default="results", type=Path, help="folder of the runs (results)")
    parser.add_argument("--remove", action="store_true", help="remove the checkpoints of finished runs; logs stay")
    options = parser.parse_args(arguments)
    try:
        say(clean.table(clean.usage(options.results)))
        if not options.remove:
            say(
                "\nNothing was removed. --remove takes the checkpoints of finished runs; figures and logs stay, "
                "and a longer run of these nets starts at step 0."
            )
            return
        freed, left = clean.remove(options.results)
    except OSError as error:
        sys.exit(_complain(f"{error.strerror}: {error.filename}"))
    say(f"\nRemoved: {clean.megabytes(freed)}. A longer run of these nets starts at step 0.")
    for line in left:
        say(f"Left: {line}")


def _pack(arguments: list[str]) -> None:
    """Pack the finished runs of a folder of results."""
    parser = _Parser(prog="python -m experiments pack", allow_abbrev=False)
    parser.add_argument("--results", default="results", type=Path, help="folder of the runs (results)")
    parser.add_argument("--packed", default="figures/runs", type=Path, help="folder of the files (figures/runs)")
    options = parser.parse_args(arguments)
    if not options.results.is_dir():
        parser.error(f"results must be a folder of runs, there is no {options.results}.")
    from experiments._training.packing import pack_all

    try:
        written = pack_all(options.results, options.packed, say)
    except OSError as error:
        sys.exit(_complain(f"{error.strerror}: {error.filename}"))
    say(f"Runs that were packed into {options.packed}: {written}.")


def _report(arguments: list[str]) -> None:
    """Write the page, or the tables of README files."""
    parser = _Parser(prog="python -m experiments report", allow_abbrev=False)
    parser.add_argument("--figures", default="figures", type=Path, help="folder of figures and their data (figures)")
    parser.add_argument("--output", default="results/report.html", type=Path, help="the page (results/report.html)")
    parser.add_argument(
        "--packed", type=Path, help="folder of packed runs: of presets all of whose runs are there, data are made"
    )
    parser.add_argument(
        "--readme", type=Path, nargs="+", default=[], help="write tables between the markers of these files instead"
    )
    options = parser.parse_args(arguments)
    status = _write_report(options.figures, options.output, options.readme, options.packed)
    if status:
        sys.exit(status)


def _write_report(figures: Path, output: Path, readmes: Sequence[Path] = (), packed: Path | None = None) -> int:
    """Write the page, or the tables of README files; return the exit status, 1 where something could not be read."""
    from bnjax._host.files import write_whole
    from experiments import _report

    if packed and not packed.is_dir():
        return _complain(f"packed must be a folder of packed runs, there is no {packed}.")
    report = _report.load(figures, packed)
    status, written = 0, readmes or (output,)
    try:
        for readme in readmes:
            _report.replace_tables(readme, report)
        if not readmes:
            text = _report.render(report)
            output.parent.mkdir(parents=True, exist_ok=True)
            write_whole(output, lambda file: file.write(text.encode()))
    except OSError as error:
        status = _complain(f"{error.strerror}: {error.filename}")
    except ValueError as error:
        status = _complain(str(error))
    for problem in dict.fromkeys(report.problems):
        _complain(one_line(problem))
    for file in written if not status else ():
        say(f"Written: {file}")
    return status or (1 if report.problems else 0)


def _draw(files: list[str]) -> None:
    """Draw figures beside their data files, and results of probes as `python -m bnjax.draw` does."""
    if files[:1] in (["-h"], ["--help"]):
        print(_USAGE)
        return
    packed, kind, files = _take_options(files)
    if not files:
        sys.exit(_complain("draw needs a file: the data of a figure (.json) or the result of a probe (.npz)."))
    from bnjax.draw import results

    def draw(rest: list[Path]) -> Path:
        return results.draw_next(rest) if rest[0].suffix == ".npz" else _draw_data(rest.pop(0), packed, kind)

    status = results.draw_each([Path(file) for file in files], draw)
    if status:
        sys.exit(status)


def _take_options(arguments: list[str]) -> tuple[Path | None, str, list[str]]:
    """Take the folder of packed runs and the kind of picture out of the arguments of draw."""
    parser = _Parser(prog="python -m experiments draw", add_help=False, allow_abbrev=False)
    parser.add_argument("--packed", type=Path)
    parser.add_argument("--vector", action="store_true")
    known, files = parser.parse_known_args(arguments)
    return known.packed, "svg" if known.vector else "png", files


def _draw_data(file: Path, packed: Path | None, kind: str) -> Path:
    """Draw the pictures of an experiment; of packed runs, write its data first."""
    from bnjax.runs import read_json

    if packed and file.suffix == ".json":
        from experiments._command import packing

        name, _, preset = file.stem.partition("-")
        if name not in names():
            raise ValueError("it must be named after an experiment and a preset, as in landscape-cpu.json.")
        write_data(file, packing.data_of(name, preset, packed, lambda line: say(f"note: {line}", sys.stderr)))
    if file.suffix != ".json":
        raise ValueError("it must be the data of a figure (.json) or the result of a probe (.npz).")
    name = read_json(file)["experiment"]
    if name not in names():
        raise ValueError(f"it is the data of {name!r}; there is no such experiment here.")
    first, *more = pictures.draw(catalogue.module(name), file, kind).values()
    for picture in more:
        say(str(picture))
    return first


def _complain(message: str) -> int:
    """Print one line on standard error; return the exit status."""
    say(f"error: {message}", sys.stderr)
    return 2


def _keep_compiled_programs() -> None:
    """Let JAX keep what it compiles in the user's cache, so that a run which resumes does not compile again.

    NOTE: never in a folder of results, which may come from elsewhere: compiled programs are code.
    """
    from bnjax._host.files import cache_dir

    if folder := cache_dir():
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder / "compiled"))


def _main() -> None:
    """Be the command."""
    occupy_standard_files()
    _keep_compiled_programs()
    os.environ["MPLBACKEND"] = "Agg"  # a notebook hands its own down, which may not be there
    try:
        main(sys.argv[1:])
    except BrokenPipeError:  # whoever reads this, as head does, wants no more of it
        sys.exit(128 + signal.SIGPIPE)
    except KeyboardInterrupt:  # before a run began, or for the second time
        sys.exit(130)
    finally:
        for stream in (sys.stdout, sys.stderr):
            unfailing(stream).close_quietly()


if __name__ == "__main__":
    _main()
