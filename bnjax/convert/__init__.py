"""Checkpoints of PyTorch, Haiku, Keras 3 and Equinox, to and from the variables of Flax modules.

Arrays and names only: none of these frameworks is imported, and each direction undoes the other.

    variables = convert.from_torch(torch_model.state_dict(), names={"features.0": "conv", "features.1": "norm", ...})
    logits, _ = bnjax_model.apply(variables, images, train=False)

`names` maps the foreign module's name to the path of the Flax layer, such as "conv" or "block/conv". Without it every
part of a foreign name becomes a level of the nested variables. Modules missing from `names`, names of missing modules and
arrays of an unknown kind are errors, so that nothing is silently lost.

| Flax                 | PyTorch, Equinox           | Haiku               | Keras                          |
|----------------------|----------------------------|---------------------|--------------------------------|
| kernel (in, out)     | weight (out, in)           | w                   | kernel                         |
| kernel (..., in, out)| weight (out, in, ...)      | w                   | kernel                         |
| scale, bias          | weight, bias               | scale, offset       | gamma, beta                    |
| mean, var            | running_mean, running_var  | average of the EMAs | moving_mean, moving_variance   |
| embedding            | weight                     | embeddings          | embeddings                     |

In evaluation, the converted network computes the same as the original, given what no checkpoint holds: the architecture,
with its padding (PyTorch pads both sides equally, which "SAME" with strides does not), and epsilon, by default 1e-3 in Keras
and 1e-5 in Flax and the others.

To continue training as the original would, the running statistics have to move equally. `momentum` here is Keras's `momentum`,
Equinox's `momentum`, Haiku's `decay_rate`, and 1 - PyTorch's `momentum`. PyTorch records the variance with the estimator
1/(m-1), the others with 1/m: `unbiased_running_var=True` in `bnjax.norms.batch_norm` does as PyTorch. A variance that was
recorded is carried over as it is, by either estimator. A layer of Haiku or Equinox that has seen no batch gets Flax's
initial statistics, mean 0 and variance 1.
"""

from bnjax.convert.equinox import from_equinox as from_equinox
from bnjax.convert.equinox import to_equinox as to_equinox
from bnjax.convert.haiku import from_haiku as from_haiku
from bnjax.convert.haiku import to_haiku as to_haiku
from bnjax.convert.keras import from_keras as from_keras
from bnjax.convert.keras import to_keras as to_keras
from bnjax.convert.torch import from_torch as from_torch
from bnjax.convert.torch import to_torch as to_torch
