"""Pictures of probes' results; they need matplotlib: `pip install 'bnjax[draw]'`.

`figure(result)` makes the whole figure of any result; `python -m bnjax.draw FILE ...` writes it beside a saved one. Every
other function takes a Matplotlib axis first, and draws one panel on it. Once this module is imported, notebooks show results as
pictures.

draw_line         loss or gradient over the step size
draw_barrier      the loss between two nets
draw_plane        contours of the loss; draw_surface shows it in three dimensions
draw_path         a path in the plane of its principal axes
draw_density      density of a Hessian's eigenvalues
draw_eigenvalues  extreme eigenvalues; draw_residuals shows how exact they are
draw_trace        trace of a Hessian
draw_sharpness    curvature of mini-batches along their own gradients
draw_rises        how far the loss rises where layers move by a share of their length
draw_split        second order between layers; draw_interaction shows the effect of a joint step beyond single ones
draw_control      which updates move means and standard deviations of a layer's units
draw_layers       gradients or covariate shift, layer by layer
draw_percentiles  activations of one unit
draw_shift        how far the activations of a layer have moved
draw_next         the result in a file, as a picture beside it

Example:
    >>> import jax.numpy as jnp
    >>> from matplotlib.figure import Figure
    >>> from bnjax import draw, probes
    >>> scan = probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3))
    >>> ax = Figure().subplots()
    >>> draw.draw_line(ax, scan, "smoothness")
    >>> draw.figure(scan).savefig("line.png")
"""

from bnjax.draw.dependence import draw_control as draw_control
from bnjax.draw.dependence import draw_interaction as draw_interaction
from bnjax.draw.dependence import draw_split as draw_split
from bnjax.draw.drift import draw_shift as draw_shift
from bnjax.draw.layers import draw_layers as draw_layers
from bnjax.draw.layers import draw_percentiles as draw_percentiles
from bnjax.draw.line import draw_barrier as draw_barrier
from bnjax.draw.line import draw_line as draw_line
from bnjax.draw.plane import draw_path as draw_path
from bnjax.draw.plane import draw_plane as draw_plane
from bnjax.draw.results import draw_next as draw_next
from bnjax.draw.results import figure as figure
from bnjax.draw.rises import draw_rises as draw_rises
from bnjax.draw.spectrum import draw_density as draw_density
from bnjax.draw.spectrum import draw_eigenvalues as draw_eigenvalues
from bnjax.draw.spectrum import draw_residuals as draw_residuals
from bnjax.draw.spectrum import draw_sharpness as draw_sharpness
from bnjax.draw.spectrum import draw_trace as draw_trace
from bnjax.draw.surface import draw_surface as draw_surface
