"""Compile probes for an H100 on a machine that has none, and print in which precisions its library calls run, as JSON.

Needs `pip install 'jax[cuda12]'`, in an environment of its own.
"""

import os

if __name__ == "__main__":
    os.environ |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1", "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1"}

import json

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.sharding import Mesh

from bnjax import Batch, Variables, adapters, objective, probes
from experiments.benchmarks._ahead import devices, place, report


class Net(nn.Module):
    """A convolution and a dense layer of Flax's own, which name no precision."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(32, (3, 3))(x)))
        return nn.Dense(10)(x.mean((1, 2)))


def make_programs(**options):
    """List functions of the parameters that run probes on a user's net, and these parameters."""
    x = jax.random.normal(jax.random.key(0), (32, 8, 8, 16))
    model = adapters.from_linen(Net())
    params, batch_stats = model.init(jax.random.key(1), x)
    loss_fn = objective.make_loss_fn(model, batch_stats, Batch(x, jnp.arange(32) % 10))
    key, layers = jax.random.key(2), ("Conv_0", "Dense_0")

    def outputs(w):
        return {"Dense_0": model.apply(Variables(w, batch_stats), x, train=True)[0]}

    programs = {
        "line": lambda w: probes.scan_line(loss_fn, w, **options),
        "plane": lambda w: probes.scan_plane(loss_fn, w, w, w, (0.0, 0.1), (0.0, 0.1), **options),
        "points": lambda w: probes.evaluate_points(loss_fn, w, (w,), [[0.1]], **options),
        "gradient": lambda w: probes.directions.gradient(loss_fn, w, **options),
        "barrier": lambda w: probes.barrier(loss_fn, w, jax.tree.map(jnp.zeros_like, w), num_points=3, **options),
        "shift": lambda w: probes.covariate_shift(loss_fn, w, w, layers, first_order=True, **options),
        "dependence": lambda w: probes.layer_dependence(loss_fn, w, layers, step_sizes=(0.1, 0.2), **options),
        "blocks": lambda w: probes.hessian_blocks(loss_fn, w, layers, "Dense_0", key=key, **options),
        "control": lambda w: probes.moment_control(outputs, w, w, layers, **options),
        "rank": lambda w: probes.soft_rank(w["Dense_0"]["kernel"], **options),
        "gap": lambda w: probes.orthogonality_gap(w["Dense_0"]["kernel"], **options),
        "cosines": lambda w: probes.cosines(w["Dense_0"]["kernel"], **options),
        "hvp": lambda w: probes.curvature.hvp(loss_fn, w, w, **options),
        "eigenpairs": lambda w: probes.curvature.top_eigenpairs(loss_fn, w, key=key, **options),
        "trace": lambda w: probes.curvature.trace(loss_fn, w, key=key, **options),
        "density": lambda w: probes.curvature.spectral_density(loss_fn, w, key=key, num_matvecs=4, **options),
        "sharpness": lambda w: probes.batch_sharpness([loss_fn], w, **options),
        "relative": lambda w: probes.relative_sharpness(loss_fn, w, layers, key=key, num_directions=2, **options),
        "capture": lambda w: probes.capture(model, Variables(w, batch_stats), x, **options),
    }
    return programs, params


def precisions(program, params, device):
    """Count the precisions of the operands of a compiled program's products."""
    shapes = place(params, Mesh(np.array([device]), ("device",)))
    return report(jax.jit(program).lower(shapes).compile())["precision"]


if __name__ == "__main__":
    (chip,) = devices("h100", 1)
    found = {}
    for options in ({}, {"precision": "default"}):
        programs, params = make_programs(**options)
        found[options.get("precision", "")] = {
            name: precisions(programs[name], params, chip) for name in ("line", "trace", "capture")
        }
    print(json.dumps(found))
