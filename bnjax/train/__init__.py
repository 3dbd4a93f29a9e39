"""Training as pure functions: states in, states and metrics out; nothing here writes a file.

state       the parts of a run: Trainer, TrainState, Metrics
optimizers  SGD, Adam and RMSProp
steps       training steps, and their batches
evaluation  loss and accuracy over data
"""

from bnjax.train.evaluation import eval_step as eval_step
from bnjax.train.evaluation import evaluate as evaluate
from bnjax.train.optimizers import OPTIMIZERS as OPTIMIZERS
from bnjax.train.optimizers import make_optimizer as make_optimizer
from bnjax.train.state import Metrics as Metrics
from bnjax.train.state import Trainer as Trainer
from bnjax.train.state import TrainState as TrainState
from bnjax.train.steps import DRAWING as DRAWING
from bnjax.train.steps import current_batch as current_batch
from bnjax.train.steps import current_loss_fn as current_loss_fn
from bnjax.train.steps import init_state as init_state
from bnjax.train.steps import run_steps as run_steps
from bnjax.train.steps import step_rngs as step_rngs
from bnjax.train.steps import train_step as train_step
