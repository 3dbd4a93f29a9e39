"""A run on disk: its folder, log, provenance and checkpoints, each written whole or not at all.

folder       named after a configuration; kept to one process at a time
log          JSON lines, whose length and digest a checkpoint pins
checkpoint   states, checked bit for bit
packed       a finished run in one small file
provenance   commit, command, versions, hardware, date
json_files   JSON, in which numbers that are not finite are null
"""

import importlib
from typing import TYPE_CHECKING, Any

from bnjax.runs.folder import LockedError as LockedError
from bnjax.runs.folder import check_no_link as check_no_link
from bnjax.runs.folder import config_dict as config_dict
from bnjax.runs.folder import config_hash as config_hash
from bnjax.runs.folder import conflicts as conflicts
from bnjax.runs.folder import folder_name as folder_name
from bnjax.runs.folder import is_locked as is_locked
from bnjax.runs.folder import latest_step as latest_step
from bnjax.runs.folder import lock as lock
from bnjax.runs.folder import run_folder as run_folder
from bnjax.runs.json_files import read_json as read_json
from bnjax.runs.json_files import write_json as write_json
from bnjax.runs.log import LostLogError as LostLogError
from bnjax.runs.log import MetricsLog as MetricsLog
from bnjax.runs.log import Pin as Pin
from bnjax.runs.log import parse_lines as parse_lines
from bnjax.runs.log import read_metrics as read_metrics
from bnjax.runs.log import read_pinned as read_pinned
from bnjax.runs.packed import Packed as Packed
from bnjax.runs.packed import pack as pack
from bnjax.runs.packed import read_about as read_about
from bnjax.runs.packed import read_packed as read_packed
from bnjax.runs.provenance import provenance as provenance

if TYPE_CHECKING:
    from bnjax.runs.checkpoint import CheckpointError as CheckpointError
    from bnjax.runs.checkpoint import Checkpoints as Checkpoints
    from bnjax.runs.checkpoint import NothingWholeError as NothingWholeError
    from bnjax.runs.checkpoint import Restored as Restored

_CHECKPOINT = ("CheckpointError", "Checkpoints", "NothingWholeError", "Restored")


def __getattr__(name: str) -> Any:
    """Import checkpoints, and with them jax and orbax, when they are first asked for."""
    if name not in _CHECKPOINT:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("bnjax.runs.checkpoint"), name)
