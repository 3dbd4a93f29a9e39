"""The training loop: a run, or a grid of seeds, learning rates and other fields, resumable, measured during training.

training    a grid from start to end
loop        the one loop: groups of runs, chunk by chunk, side by side or together in one program
plan        the schedule: runs, probes and steps
run         one run: its state, log and checkpoints
grid        every combination of some fields, and the runs of a grid that one program can train
steps       states, steps and accuracies of many runs
ways        how runs share a machine: cores, batches, devices
threads     runs side by side
saving      failed saves, which are retried
signals     signals that ask runs to stop
"""

from bnjax._host.groups import MeasuredBatching as MeasuredBatching
from bnjax._host.groups import measured_batching as measured_batching
from bnjax.sweep.grid import Program as Program
from bnjax.sweep.grid import grid as grid
from bnjax.sweep.grid import programs as programs
from bnjax.sweep.loop import train_groups as train_groups
from bnjax.sweep.plan import Group as Group
from bnjax.sweep.plan import HostProbe as HostProbe
from bnjax.sweep.plan import Member as Member
from bnjax.sweep.plan import Plan as Plan
from bnjax.sweep.plan import make_plan as make_plan
from bnjax.sweep.run import BusyError as BusyError
from bnjax.sweep.run import RunError as RunError
from bnjax.sweep.saving import SaveError as SaveError
from bnjax.sweep.signals import Interrupted as Interrupted
from bnjax.sweep.steps import evaluate as evaluate
from bnjax.sweep.steps import init_states as init_states
from bnjax.sweep.steps import measure as measure
from bnjax.sweep.steps import run_steps as run_steps
from bnjax.sweep.training import GridResult as GridResult
from bnjax.sweep.training import train_grid as train_grid
from bnjax.sweep.ways import Batching as Batching
from bnjax.sweep.ways import Way as Way
