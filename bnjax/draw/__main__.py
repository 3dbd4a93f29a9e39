"""Draw the results of probes: `python -m bnjax.draw line.npz` writes line.png beside it.

Principal axes that follow a plane, as in `plane.npz axes.npz`, are drawn over it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bnjax.draw.results import draw_next, explain


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line on standard error, and exit."""
        self.exit(2, f"error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: its words; None takes those of the process.
    """
    parser = _Parser(prog="python -m bnjax.draw", description=__doc__, allow_abbrev=False)
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="what a probe's `save` wrote, .npz")
    files = parser.parse_args(arguments).files
    while files:
        file = files[0]
        try:
            print(draw_next(files))
        except (ImportError, OSError, ValueError, LookupError, TypeError) as error:
            parser.error(explain(error, file))


if __name__ == "__main__":
    main()
