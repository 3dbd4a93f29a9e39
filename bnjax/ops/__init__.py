"""Convolution and pooling of every model here: XLA's own on accelerators, fast gradients on CPU.

conv_general_dilated  the convolution, as a replacement of JAX's
max_pool_2x2          the pooling
batched_kernels       how accelerators convolve several points at once, each with a kernel of its own

XLA's CPU backend has a fast path for convolutions whose dimension numbers are the usual ones (NHWC images, HWIO kernels).
JAX writes a convolution's *gradients* as convolutions with permuted dimension numbers, which miss that path: inside the body
of `lax.scan` or `lax.map` they run tens to hundreds of times slower than they need to. Maps smaller than the kernel miss it
even forwards. On CPU the gradients here are canonical convolutions and matrix products, chosen by shape; maps of middle size
take Winograd's algorithm, with less than half of the multiplications, both ways. `python -m experiments.benchmarks.conv` prints
the speeds on the machine at hand.

In any Flax model: `nn.Conv(64, (3, 3), conv_general_dilated=bnjax.ops.conv_general_dilated)`.

general      which convolutions are fast, and which go to JAX
primitives   the convolution and its two gradients as JAX primitives
geometry     their static parameters
plain        their implementation everywhere except on CPU
cpu          their implementation on CPU, chosen by shape
batched      their implementation elsewhere for several points at once
patches      the pixels that each tap of a kernel reads
winograd     Winograd's algorithm
pool         the pooling, whose gradient is a selection
"""

from bnjax.ops.batched import batched_kernels as batched_kernels
from bnjax.ops.general import conv_general_dilated as conv_general_dilated
from bnjax.ops.pool import max_pool_2x2 as max_pool_2x2
