"""Settings that do not change a result."""

import math
from dataclasses import dataclass
from typing import Literal

from experiments._config.check import check, check_numbers


@dataclass(frozen=True)
class Options:
    """Settings that do not change a result.

    Attributes:
        results: folder in which every experiment, and every run, gets a folder of its own.
        figures: folder for a copy of the figure and its data.
        packed: folder of packed runs, which count as done; without it everything is trained.
        data_dir: folder of prepared data sets; default is TFDS_DATA_DIR, else ~/tensorflow_datasets.
        checkpoint_seconds: least time between two checkpoints of a run, in seconds; it is raised if saving would take more than
            2 % of the time. 0 saves a checkpoint after every measurement.
        parallel: how many runs train side by side, each in a thread; default is one per core.
        batching: how runs that differ in seed and learning rate alone share the machine: each in a thread, or together in one
            program, one after another (map) or at once (vmap), spread over all devices. auto is threads on a CPU, except for
            deep linear networks trained on moments, for which it is vmap; elsewhere it measures before the first step how many
            runs are fastest together. sharded trains one run after another, each batch spread over all devices.
        distributed: this process is one of several, as Slurm, Open MPI, Kubernetes or a TPU pod slice starts them; the devices
            of all share each batch, and the first one writes.
    """

    results: str = "results"
    figures: str | None = None
    packed: str | None = None
    data_dir: str | None = None
    checkpoint_seconds: float = 20.0
    parallel: int | None = None
    batching: Literal["auto", "threads", "map", "vmap", "sharded"] = "auto"
    distributed: bool = False

    def __post_init__(self):
        check(
            not self.distributed or self.batching in ("auto", "sharded"),
            "batching",
            "sharded, or left out, where distributed is set",
            self.batching,
        )
        if self.parallel is not None:
            check_numbers(self, "at least 1", lambda x: x >= 1, "parallel")
        check_numbers(self, ">= 0 and finite", lambda x: 0 <= x < math.inf, "checkpoint_seconds")
