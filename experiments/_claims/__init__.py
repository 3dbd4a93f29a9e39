"""The claims of the sources, each with a verdict that is computed from an experiment's data file.

`claim.py` says what a claim is and how it is judged, `measures.py` what several of them measure; the file named after an
experiment holds the claims about it, as `CLAIMS`; those about deep linear networks stand in a folder of their own.
"""

import importlib
from pathlib import Path

from experiments._claims.claim import Claim


def claims_of(experiment: str) -> tuple[Claim, ...]:
    """Return the claims about an experiment, each followed by its caveats; none where there is no file of that name."""
    if not (Path(__file__).parent / f"{experiment}.py").exists():
        return ()
    claims: tuple[Claim, ...] = getattr(importlib.import_module(f"experiments._claims.{experiment}"), "CLAIMS", ())
    names = [claim.name for claim in claims]
    return tuple(sorted(claims, key=lambda claim: _place(claim, names)))


def _place(claim: Claim, names: list[str]) -> tuple[int, int]:
    """Say where a claim stands: a caveat right behind what it is a caveat of."""
    own = names.index(claim.name)
    return (names.index(claim.caveat_of), 1 + own) if claim.caveat_of in names else (own, 0)
