"""Percentiles of the last pre-activations, on test images (Ioffe & Szegedy 2015, Fig. 1b and 1c)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float

from bnjax import probes, train
from bnjax._host.programs import compiled_once
from bnjax.data import Split, take_batch
from experiments._config import Percentiles, RunConfig
from experiments._training.probes.probe import Probe, Record

LEVELS = (15, 50, 85)
# Running statistics begin at 0 and 1; with a decay of 0.99 less than 1 % of that is left after this many steps.
SETTLED_AFTER = 500
# Changes slower than this many steps are not noise.
_NOISE_WINDOW = 1000
_MAX_IMAGES = 2000


def make_percentiles(_settings: Percentiles, config: RunConfig, trainer: train.Trainer, _loss_scale: float) -> Probe:
    """Follow percentiles of the last hidden layer, before the activation, on up to 2,000 test images.

    The images are the same at every step, and normalised in two ways: by running statistics, as in evaluation, and, as in
    training, by the statistics of batches into which the images are cut. Without a normaliser there is only the first. A record
    has the percentiles of each unit over the images, and of the layer, over images and units together. Only the percentiles of
    the layer and of a typical unit, and statistics of medians, are kept.
    """

    def measure(state: train.TrainState, split: Split) -> Record:
        last = max(int(name.split("_")[1]) for name in state.params if name.startswith("dense_")) - 1
        has_norm = config.norm.follows(last)
        found = _outputs(trainer, state, split, f"{'norm' if has_norm else 'dense'}_{last}", has_norm)
        record: Record = {}
        for name, values in ((name, np.asarray(values, np.float64)) for name, values in found.items()):
            record[f"{name}_layer"] = np.percentile(values, LEVELS).round(4)
            record[f"{name}_units"] = np.percentile(values, LEVELS, axis=0).T.round(4)
        return record

    return Probe(measure, _collect, "test")


@compiled_once("trainer", "module", "has_norm")
def _outputs(
    trainer: train.Trainer, state: train.TrainState, split: Split, module: str, has_norm: bool
) -> dict[str, Float[Array, "images units"]]:
    """Compute a module's outputs on the images, with running statistics and, for a normaliser, batch statistics."""

    def outputs(images: Array, in_training: bool) -> Array:
        rngs = train.step_rngs(state)
        return probes.capture(trainer.model, state.variables, images, [module], train=in_training, rngs=rngs)[module]

    num = len(split.labels)
    images = take_batch(split, jnp.arange(0, num, -(-num // _MAX_IMAGES))).inputs
    found = {"running": outputs(images, False)}
    if has_norm:
        size = min(trainer.batch_size, len(images))
        batches = images[: len(images) // size * size].reshape(-1, size, *images.shape[1:])
        in_batches = jax.lax.map(lambda batch: outputs(batch, True), batches)
        found["batch"] = in_batches.reshape(-1, in_batches.shape[-1])
    return found


def _collect(records: list[Record]) -> Record:
    """Turn records into curves and statistics; statistics of units are medians over all units."""
    steps = np.array([record["step"] for record in records])
    names = [name for name in ("running", "batch") if records and f"{name}_units" in records[0]]
    series = {
        name: [np.array([record[f"{name}_{part}"] for record in records], float) for part in ("layer", "units")]
        for name in names
    }
    typical = _typical(stability(steps, series[names[-1]][1])["range"]) if names else None
    return {
        "step": steps.tolist(),
        "typical_unit": typical,
        **{name: _describe(steps, layer, units, typical) for name, (layer, units) in series.items()},
    }


def _describe(steps: np.ndarray, layer: np.ndarray, units: np.ndarray, typical: int | None) -> Record:
    """Keep the percentiles under one normalisation that figures and claims read."""
    found = stability(steps, units)
    with np.errstate(divide="ignore", invalid="ignore"):
        found["relative_range"] = found["range"] / found["spread"]
    return {
        "layer": layer.tolist(),
        "unit": units[:, typical].tolist(),
        "of_units": {name: float(np.median(values)) for name, values in found.items()},
        "of_layer": {name: float(values[0]) for name, values in stability(steps, layer[:, None]).items()},
    }


def _typical(ranges: np.ndarray) -> int:
    """Choose the unit whose median's range is closest to the median of all ranges; the first if there are none."""
    return int(np.argmin(np.abs(ranges - np.median(ranges))))


def stability(steps: np.ndarray, percentiles: np.ndarray) -> dict[str, np.ndarray]:
    """Measure how a median moves over training, from step 500 on; NaN if there are too few steps.

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
    """Return the standard deviation around a moving average; NaN if no window is whole."""
    width = 2 * (_NOISE_WINDOW // (2 * interval)) + 1
    if len(median) < width or width == 1:
        return np.full(median.shape[1], np.nan)
    smooth = np.lib.stride_tricks.sliding_window_view(median, width, axis=0).mean(axis=-1)
    return (median[width // 2 : len(median) - width // 2] - smooth).std(axis=0)
