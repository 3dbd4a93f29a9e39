"""Draw the results of probes: `python -m bnjax.draw line.npz` writes line.png beside it.

Principal axes that follow a plane, as in `plane.npz axes.npz`, are drawn over it.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bnjax._host.output import one_line, say, unfailing_output
from bnjax.draw.results import draw_each


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line on standard error, and exit."""
        say(f"error: {one_line(message)}", sys.stderr)
        self.exit(2)


@unfailing_output()
def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        arguments: its words; None takes those of the process.
    """
    parser = _Parser(prog="python -m bnjax.draw", description=__doc__, allow_abbrev=False)
    parser.add_argument("files", metavar="FILE", nargs="+", type=Path, help="what a probe's `save` wrote, .npz")
    status = draw_each(parser.parse_args(arguments).files)
    if status:
        sys.exit(status)


if __name__ == "__main__":
    os.environ["MPLBACKEND"] = "Agg"  # a notebook hands its own down, which may not be there
    main()
