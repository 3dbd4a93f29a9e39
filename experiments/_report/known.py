"""Runs that were known when a claim's range and statistic were fixed: a claim that they decide is exploratory.

`known.json` is the record. Its `runs` are the nets in the data of an experiment, by their identities, with seeds and steps, and
with the time at which these data were committed; its `claims` are the range, statistic and day of each claim, and which of
these data its author could have seen. A test compares it with the claims, so that neither changes without the other.

NOTE: other seeds, other nets and later steps count as new, whoever trains them; repetitions of the same runs do not.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from bnjax.runs import config_hash, folder_name
from experiments._command import catalogue
from experiments._config.restore import restored
from experiments._evidence.claim import Claim
from experiments._evidence.run import Data, num_steps
from experiments._evidence.verdict import MIN_VALUES, Judgement

FILE = Path(__file__).with_name("known.json")


def row(claim: Claim) -> dict[str, Any]:
    """Return a claim's row of the record, except for the data seen; it may only change together with its day."""
    holds = ["-inf" if math.isinf(end) and end < 0 else "inf" if math.isinf(end) else end for end in claim.holds]
    return {"holds": holds, "statistic": claim.statistic.words, "since": claim.since}


@cache
def table() -> Mapping[str, Any]:
    """Read the record."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def identities(name: str, data: Data) -> dict[str, str]:
    """Return the identities of the nets in an experiment's data, which with the seed determine numbers, by group/arm.

    Raises:
        ValueError: if the data's configuration is not one of the experiment's.
    """
    experiment = catalogue.module(name)
    kind: Any = type(next(iter(experiment.PRESETS.values())))
    config = restored(kind, data["config"])
    if not hasattr(experiment, "groups"):
        trained = ("model", "data", "norm", "optimizer")
        if not {*trained} <= {
            field.name for field in fields(kind)
        }:  # nothing but the seeds leaves its numbers as they are
            own = config_hash(replace(config, seeds=kind().seeds))
            return {f"{group}/{arm}": f"{name}-{arm}-{own}" for group in experiment.KEEP for arm in data.get(group, {})}
        usual = {field.name: getattr(kind(), field.name) for field in fields(kind) if field.name not in trained}
        own = config_hash(replace(config, **usual))
        return {f"arms/{arm}": f"{name}-{arm}-{own}" for arm in data.get("arms", {})}
    groups = experiment.groups(config)
    return {
        f"{group}/{arm}": folder_name(run.kind, run.identity())
        for group, arms in groups.items()
        for arm, run in arms.items()
    }


def is_exploratory(name: str, claim: Claim, data: Data, judgement: Judgement) -> bool:
    """Return whether fewer than three of a claim's values are from runs or steps unknown when the claim was fixed.

    A value is new if one of its runs is.
    """
    labels = table()["claims"].get(claim.name, {}).get("seen", [])
    if not labels or all(map(math.isnan, judgement.values)):
        return False
    seen: dict[tuple[str, int], int] = {}
    for label in labels:
        for identity, runs in table()["runs"][label].items():
            for seed in runs["seeds"]:
                seen[identity, seed] = max(seen.get((identity, seed), 0), runs["steps"])
    new: set[int] = set()
    known = identities(name, data)
    for counted in claim.statistic.counted(data):
        group, _, arm = counted.partition("/")
        for own, runs in data.get(group, {}).items():
            for run in runs if arm in ("", own) else []:
                needed = min(num_steps(run), claim.statistic.until)
                if needed > seen.get((known.get(f"{group}/{own}", ""), run["seed"]), -1):
                    new.add(run["seed"])
    return len(new) < MIN_VALUES


def runs_of(name: str, data: Data) -> dict[str, dict[str, Any]]:
    """Return the nets of some data in the form of the record: seeds and steps by identity."""
    found: dict[str, dict[str, Any]] = {}
    for counted, identity in identities(name, data).items():
        group, _, arm = counted.partition("/")
        for run in data.get(group, {}).get(arm, []):
            own = found.setdefault(identity, {"seeds": [], "steps": 0})
            own["seeds"] = sorted({*own["seeds"], run["seed"]})
            own["steps"] = max(own["steps"], num_steps(run))
    return found
