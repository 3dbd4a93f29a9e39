"""Many runs at once: a grid of seeds, learning rates and anything else, as one program where shapes agree.

grid        every combination of some fields
programs    the runs of a grid that one program can train
steps       states, steps and accuracies of many runs
training    a grid from start to end, with curves, probes and checkpoints
ways        how runs share a machine: cores, batches, devices
"""

from bnjax.sweep.grid import Program as Program
from bnjax.sweep.grid import grid as grid
from bnjax.sweep.grid import programs as programs
from bnjax.sweep.steps import evaluate as evaluate
from bnjax.sweep.steps import init_states as init_states
from bnjax.sweep.steps import measure as measure
from bnjax.sweep.steps import run_steps as run_steps
from bnjax.sweep.training import GridResult as GridResult
from bnjax.sweep.training import train_grid as train_grid
from bnjax.sweep.ways import Batching as Batching
from bnjax.sweep.ways import Way as Way
