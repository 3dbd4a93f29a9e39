"""How the experiments' figures look: the style of `bnjax.draw`, and a colour for each net."""

from bnjax.draw.style import FAINT as FAINT
from bnjax.draw.style import INK as INK
from bnjax.draw.style import LENGTHS as LENGTHS
from bnjax.draw.style import is_wide as is_wide
from bnjax.draw.style import legend_above as legend_above
from bnjax.draw.style import log_scale as log_scale
from bnjax.draw.style import number as number
from bnjax.draw.style import sequential
from bnjax.draw.style import style as style
from bnjax.draw.style import write_foot as write_foot

SEQUENTIAL = sequential()
# From Okabe & Ito: colour-blind readers can distinguish them.
COLOURS = {
    "plain": "#d55e00",
    "batch_norm": "#0072b2",
    "batch_norm_4": "#56b4e9",
    "noisy_batch": "#009e73",
    "noise": "#cc79a7",
    "relative_noise": "#e69f00",
    "l1": "#009e73",
    "l2": "#cc79a7",
    "linf": "#e69f00",
    "huber": "#009e73",
}
