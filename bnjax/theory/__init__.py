"""The right-hand sides of the theorems of Santurkar et al. 2018, one function each.

All speak of one unit of a layer and a batch of m examples (after a convolution, m counts the pixels too):

    yh = (y - mean) / std,  z = scale yh + bias,  loss(z),  g = dloss/dz,  H = d²loss/dz²,  P = I - 11'/m - yh yh'/m

with mean and std of the batch itself, std by the estimator 1/m. What the paper calls the gradient and the Hessian of the
plain network are g and H, taken at the same activations z; `gh` here is the gradient of the same loss by y, through batch
norm. Losses have units of their own, y and std those of the pre-activation. For many units, `jax.vmap` over their axis.

units        a normalised unit, and the derivatives of the loss by its pre-activations
activations  Theorems 4.1 and 4.2, Observation 4.3
weights      Theorems 4.4 and C.1, Lemma 4.5, and scale invariance
"""

from bnjax.theory.activations import curvature_bound as curvature_bound
from bnjax.theory.activations import gradient_bound as gradient_bound
from bnjax.theory.activations import is_smoothed as is_smoothed
from bnjax.theory.activations import preserving_scale_and_bias as preserving_scale_and_bias
from bnjax.theory.activations import relaxed_curvature_bound as relaxed_curvature_bound
from bnjax.theory.units import Unit as Unit
from bnjax.theory.units import normalisation_jacobian as normalisation_jacobian
from bnjax.theory.units import normalise_unit as normalise_unit
from bnjax.theory.units import pre_activation_gradient as pre_activation_gradient
from bnjax.theory.units import pre_activation_hessian_product as pre_activation_hessian_product
from bnjax.theory.weights import nearest_scaled_optimum as nearest_scaled_optimum
from bnjax.theory.weights import optimum_distance_bound as optimum_distance_bound
from bnjax.theory.weights import plain_weight_gradient_bound as plain_weight_gradient_bound
from bnjax.theory.weights import rescaled_gradient as rescaled_gradient
from bnjax.theory.weights import weight_curvature_bound as weight_curvature_bound
from bnjax.theory.weights import weight_gradient_bound as weight_gradient_bound
