"""Batch norm in evaluation: running, batch, recalibrated and adapted statistics, on images unlike those of the training.

Claim: the population's statistics can be wrong for the images that come, so that activations explode and accuracy is lost; the
batch's own ones repair that, and make the answer for an image depend on the other images; small and sorted batches make bad
statistics.
Source: Huber's article, Sec. C.2.3 and C.2.4; Ioffe 2017 for small and sorted batches, and for batch renorm; Wu & Johnson 2021.
Counter-example: a net without normalisers gains as much, once its channels are restandardised (K. Jordan 2024).
Command: TFDS_DATA_DIR=... python -m experiments evaluation --preset cpu
Measured: preset cpu, three seeds, two cores beside much other work, 28 minutes: test accuracy with batch norm 55.1 % with
running statistics and 56.9 % with those of the test images; under lower contrast 26.7 and 49.7 %, under noise of 0.2 26.8 and
44.2 %; without batch norm, restandardised, 22.3 and 34.8 %, 28.6 and 35.9 %. Presets overnight and paper have not been run.
"""

from dataclasses import dataclass, replace
from typing import Any

from experiments._config import (
    BatchNorm,
    BatchRenorm,
    Images,
    NoNorm,
    RunConfig,
    Schedule,
    VGGRun,
    change,
    check,
    check_numbers,
)
from experiments._evidence.keep import IfMeasured, whole
from experiments._nets import Setting
from experiments._presets import PAPER, SMOKE, arm


@dataclass(frozen=True)
class Config:
    """Nets with batch norm, evaluated on images unlike their training images, or trained in small or sorted batches.

    Attributes:
        vgg: trained on all images, with and without batch norm; evaluated on corrupted images, too.
        classes: trained on some of the classes; evaluated on the others, too.
        tiny: trained on few images.
        small: trained in small batches, with batch norm and with batch renorm.
        labels: trained in batches sorted by label, with batch norm and with batch renorm.
        renorm: settings of batch renorm; these nets use the momentum and epsilon of their batch norm.
        tiny_batches: batch sizes of the net on few images; they replace the optimiser's.
        batch_sizes: further batch sizes of the first net, for as many images, with the learning rate in proportion.
        early_steps: steps over which running statistics are compared with recalibrated ones, ten times in all.
    """

    vgg: VGGRun
    classes: VGGRun
    tiny: VGGRun
    small: VGGRun
    labels: VGGRun
    renorm: BatchRenorm = BatchRenorm(r_max=1.5, d_max=0.5)
    tiny_batches: tuple[int, ...] = (2, 4, 8)
    batch_sizes: tuple[int, ...] = (1, 2, 8, 128)
    early_steps: int = 300

    def __post_init__(self):
        for name in ("vgg", "classes", "tiny", "small", "labels"):
            norm = getattr(self, name).norm
            check(type(norm) is BatchNorm, f"{name}.norm", "batch, whose statistics are compared", norm.kind)
        classes, num = self.classes.data.classes, len(self.classes.data.all_classes)
        check(bool(classes), "classes.data.classes", "some of the classes", classes)
        rule = f"fewer than all {num} classes, of which the others are held out"
        check(self.classes.data.num_classes < num, "classes.data.classes", rule, classes)
        check(
            bool(self.labels.data.per_label), "labels.data.per_label", "a number of images", self.labels.data.per_label
        )
        subset, usual = self.tiny.data.num_examples, self.vgg.optimizer.batch_size
        rule = f"one or more different numbers from 1 to {subset:,}, the images there are"
        check_numbers(self, rule, lambda x: 1 <= x <= subset, "tiny_batches")
        rule = f"different numbers of at least 1, without {usual}"
        check(len({*self.batch_sizes}) == len(self.batch_sizes), "batch_sizes", rule, self.batch_sizes)
        check(all(x >= 1 and x != usual for x in self.batch_sizes), "batch_sizes", rule, self.batch_sizes)
        check(
            self.early_steps >= 10 and self.early_steps % 10 == 0, "early_steps", "a multiple of 10", self.early_steps
        )


def _after(num_steps: int) -> Schedule:
    """Measure before the first step and after `num_steps`; a measurement at a step precedes its update."""
    return Schedule(num_steps=num_steps + 1, eval_every=num_steps, probe_every=num_steps)


def _nets(
    run: VGGRun, num_images: int, tiny_steps: int, small: int, sorted_size: int, num_tiny: int, **more: Any
) -> Config:
    """Make nets that each see `num_images` images, except the one on few images, which takes `tiny_steps` steps."""
    usual, rate = run.optimizer.batch_size, run.optimizer.learning_rate
    clean = change(run, probes={"evaluation": {"shifts": ()}})

    def sized(size: int, **changes: Any) -> VGGRun:
        optimizer = {"batch_size": size, "learning_rate": rate * size / usual}
        return change(clean, optimizer=optimizer, schedule=_after(num_images // size), **changes)

    slow = {"momentum": 0.99}  # as in Ioffe 2017
    return Config(
        vgg=change(run, schedule=_after(num_images // usual)),
        classes=change(clean, data={"classes": (0, 1, 2, 3, 4)}, schedule=_after(num_images // usual)),
        tiny=change(sized(small), data={"subset": num_tiny}, schedule=_after(tiny_steps)),
        small=sized(small, norm=slow),
        labels=sized(sorted_size, norm=slow, data={"per_label": 2}),
        **more,
    )


_CPU: VGGRun = change(
    VGGRun(seeds=(0, 1, 2), data=Images(image_size=32)).measuring("evaluation"),
    model={"width": 0.125, "kernel_init": "he_normal"},
    optimizer={"batch_size": 32},
)
_SMOKE: VGGRun = change(
    SMOKE.measuring("evaluation"),
    model={"kernel_init": "he_normal"},
    probes={"evaluation": {"num_examples": 64, "shifts": ("contrast", "noise_0.2")}},
)
_LONG: VGGRun = change(_CPU, model={"width": 0.25}, probes={"evaluation": {"num_examples": 10_000}})
_WHOLE: VGGRun = change(
    PAPER.measuring("evaluation"),
    seeds=(0, 1, 2),
    model={"kernel_init": "he_normal"},
    probes={"evaluation": {"num_examples": 10_000}},
)
PRESETS = {
    "cpu": _nets(_CPU, 48_000, 1000, 4, 8, 100, batch_sizes=(8,)),
    "smoke": _nets(_SMOKE, 320, 20, 4, 8, 40, tiny_batches=(4,), batch_sizes=(8,), early_steps=20),
    "overnight": _nets(_LONG, 500_000, 5000, 4, 8, 100),
    "paper": _nets(_WHOLE, 128 * 15_000, 5000, 4, 8, 100, batch_sizes=(1, 2, 8, 32)),
}

KEEP: dict[str, Any] = {
    "arms": {"evaluation": whole},
    "classes": {"evaluation": whole},
    "tiny": {"evaluation": whole},
    "small": {"evaluation": whole},
    "labels": {"evaluation": whole},
    "sizes": IfMeasured({"evaluation": whole}),
    "early": {},
}


def batches_of(size: int) -> Setting:
    """Return the setting of a batch size."""
    return Setting(f"batch_{size}", f"batch {size}")


def groups(config: Config) -> dict[str, dict[str, RunConfig]]:
    """Name the nets, by what they are trained on."""
    usual = config.vgg

    def both(run: VGGRun) -> dict[str, RunConfig]:
        norm = BatchRenorm.like(run.norm, r_max=config.renorm.r_max, d_max=config.renorm.d_max)
        return {"batch_norm": arm(run), "renorm": arm(run, norm=norm)}

    every = config.early_steps // 10
    early = Schedule(config.early_steps, eval_every=every, probe_every=every, recalibrated_tests=True)
    tiny = {batches_of(n).arm("batch_norm"): _tiny(config, n) for n in config.tiny_batches}
    sizes = {batches_of(n).arm("batch_norm"): _sized(usual, n) for n in config.batch_sizes}
    return {
        "arms": {"plain": arm(usual, norm=NoNorm()), "batch_norm": arm(usual)},
        "classes": {"batch_norm": arm(config.classes)},
        "tiny": tiny,
        "small": both(config.small),
        "labels": both(config.labels),
        "early": {"batch_norm": replace(arm(usual).measuring(), schedule=early)},
        **({"sizes": sizes} if sizes else {}),
    }


def _tiny(config: Config, size: int) -> RunConfig:
    """Train on few images at a given batch size, with the learning rate in proportion."""
    rate = config.vgg.optimizer.learning_rate * size / config.vgg.optimizer.batch_size
    return arm(config.tiny, optimizer={"batch_size": size, "learning_rate": rate})


def _sized(run: VGGRun, size: int) -> RunConfig:
    """Train on as many images at another batch size, with the learning rate in proportion."""
    share = size / run.optimizer.batch_size
    optimizer = {"batch_size": size, "learning_rate": run.optimizer.learning_rate * share}
    clean = {"evaluation": {"shifts": ()}} if "evaluation" in run.probes else {}
    steps = max(1, round((run.schedule.num_steps - 1) / share))
    return arm(
        run, optimizer=optimizer, schedule=_after(steps), norm={"momentum": 0.99 if size < 32 else 0.9}, probes=clean
    )


def by_size(data: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """Sort the nets that saw all images by their batch size, ascending, then by their normaliser."""
    config = data["config"]
    found = {int(name.rpartition("_")[2]): {"batch_norm": runs} for name, runs in data.get("sizes", {}).items()}
    found[config["small"]["optimizer"]["batch_size"]] = dict(data["small"])
    found[config["vgg"]["optimizer"]["batch_size"]] = {"batch_norm": data["arms"]["batch_norm"]}
    return dict(sorted(found.items()))
