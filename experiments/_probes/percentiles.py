"""Percentiles of what goes into the last nonlinearity, on test images (Ioffe & Szegedy 2015, Fig. 1b and 1c)."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from bnjax import probes, train
from bnjax.data import Split, take_batch
from experiments._config import RunConfig
from experiments._probes.probe import Probe, Record, as_lists

LEVELS = (15, 50, 85)
# Running statistics begin at 0 and 1; with a decay of 0.99 less than 1 % of that is left after this many steps.
SETTLED_AFTER = 500
# What is slower than this many steps is no noise.
_NOISE_WINDOW = 1000
_MAX_IMAGES = 2000


def make_percentiles(config: RunConfig, trainer: train.Trainer, _loss_scale: float) -> Probe:
    """Follow percentiles of the last hidden layer in evaluation mode, before the activation, on up to 2,000 test images.

    The images are the same at every step. A record has the percentiles of each unit over the images, and of the layer: over
    images and units together. Collected are those of the layer and of a typical unit, and statistics of every unit's median.
    """

    def measure(state: train.TrainState, split: Split) -> Record:
        last = max(int(name.split("_")[1]) for name in state.params if name.startswith("dense_")) - 1
        has_norm = config.norm != "none" and (config.norm_layers == "all" or last in config.norm_layers)
        values = np.asarray(_outputs(trainer, state, split, f"{'norm' if has_norm else 'dense'}_{last}"), np.float64)
        return {
            "layer": np.percentile(values, LEVELS).round(4),
            "units": np.percentile(values, LEVELS, axis=0).T.round(4),
        }

    return Probe(measure, _collect, "test")


@partial(jax.jit, static_argnames=("trainer", "module"))
def _outputs(
    trainer: train.Trainer, state: train.TrainState, split: Split, module: str
) -> Float[Array, "images units"]:
    """Compute a module's outputs on the images."""
    num = len(split.labels)
    batch = take_batch(split, jnp.arange(0, num, -(-num // _MAX_IMAGES)))
    return probes.capture(trainer.model, state.variables, batch.inputs, [module], train=False)[module]


def _collect(records: list[Record]) -> Record:
    """Turn records into curves and statistics; the typical unit is the one whose median has the middle one of all ranges."""
    if not records:
        return {"step": []}
    steps = np.array([record["step"] for record in records])
    layer, units = (np.array([record[name] for record in records], float) for name in ("layer", "units"))
    found = stability(steps, units)
    typical = int(np.nanargmin(np.abs(found["range"] - np.nanmedian(found["range"])))) if _is_known(found) else 0
    return {
        "step": steps.tolist(),
        "layer": layer.tolist(),
        "unit": units[:, typical].tolist(),
        "typical_unit": typical,
        "units": as_lists(found),
        "pooled": {name: float(values[0]) for name, values in stability(steps, layer[:, None]).items()},
    }


def _is_known(found: dict[str, np.ndarray]) -> bool:
    """Tell whether any unit has a range."""
    return bool(np.isfinite(found["range"]).any())


def stability(steps: np.ndarray, percentiles: np.ndarray) -> dict[str, np.ndarray]:
    """Measure how a median moves over training, from step 500 on; NaN where there are too few steps.

    Args:
        steps: at equal distances, (steps,).
        percentiles: at the three levels, (steps, units, 3).

    Returns:
        Each (units,): `range`, the largest minus the smallest median; `variation`, the sum of the absolute changes of the
        median from one record to the next, per 1,000 steps; `roughness`, the standard deviation (1/m) of the median minus its
        moving average, centred, over 1,000 steps; `spread`, half the distance of the outer percentiles, mean over the records.
    """
    chosen = (steps >= SETTLED_AFTER) & np.isfinite(percentiles).all(axis=(1, 2))
    steps, percentiles = steps[chosen], percentiles[chosen]
    names = ("range", "variation", "roughness", "spread")
    if len(steps) < 2:
        return dict.fromkeys(names, np.full(percentiles.shape[1], np.nan))
    median = percentiles[:, :, 1]
    variation = np.abs(np.diff(median, axis=0)).sum(axis=0) / (steps[-1] - steps[0])
    spread = (percentiles[:, :, 2] - percentiles[:, :, 0]).mean(axis=0) / 2
    values = (np.ptp(median, axis=0), 1000 * variation, _noise(median, steps[1] - steps[0]), spread)
    return dict(zip(names, values, strict=True))


def _noise(median: np.ndarray, interval: int) -> np.ndarray:
    """Take the standard deviation of what a moving average leaves; NaN where no window is whole."""
    width = 2 * (_NOISE_WINDOW // (2 * interval)) + 1
    if len(median) < width or width == 1:
        return np.full(median.shape[1], np.nan)
    smooth = np.lib.stride_tricks.sliding_window_view(median, width, axis=0).mean(axis=-1)
    return (median[width // 2 : len(median) - width // 2] - smooth).std(axis=0)
