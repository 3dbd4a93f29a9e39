"""The nets that experiments compare, one row each, and the settings in which they are trained."""

from typing import NamedTuple


class Net(NamedTuple):
    """How a net is named and drawn."""

    label: str  # in legends and tables
    short: str  # in the statistics of claims and below axes
    colour: str  # of Okabe & Ito, which colour-blind readers can distinguish


NETS = {
    "plain": Net("without BN", "plain", "#d55e00"),
    "batch_norm": Net("with BN", "BN", "#0072b2"),
    "batch_norm_4": Net("BN after layer 4 only", "one BN", "#56b4e9"),
    "batch_norm_last": Net("BN after the last hidden layer only", "last BN", "#56b4e9"),
    "noisy_batch": Net("noisy BN", "noisy BN", "#009e73"),
    "noise": Net("noise without BN", "noise", "#cc79a7"),
    "relative_noise": Net("scaled noise without BN", "scaled noise", "#e69f00"),
    "l1": Net("l1 norm", "l1", "#009e73"),
    "l2": Net("l2 norm", "l2", "#cc79a7"),
    "linf": Net("l-infinity norm", "l-infinity", "#e69f00"),
    "ghost": Net("BN in ghost batches", "BN", "#56b4e9"),
    "ghost_batch": Net("ghost BN", "ghost BN", "#56b4e9"),
    "renorm": Net("with batch renorm", "renorm", "#009e73"),
    "before": Net("BN before the activation", "before", "#0072b2"),
    "after": Net("BN after the activation", "after", "#d55e00"),
    "before_fixed": Net("before, without scale and bias", "before, no affine", "#56b4e9"),
    "after_fixed": Net("after, without scale and bias", "after, no affine", "#e69f00"),
    "group_norm": Net("group norm", "GN", "#009e73"),
    "one_group": Net("LN (H, W, C), one group", "LN (H, W, C)", "#cc79a7"),
    "instance_norm": Net("instance norm", "IN", "#e69f00"),
    "huber": Net("Huber's BN, variance too small", "Huber's BN", "#009e73"),
    "layer_norm": Net("with layer norm", "LN", "#009e73"),
    "dyt": Net("dynamic tanh", "DyT", "#d55e00"),
    "shared_batch": Net("BN, running statistics shared over time", "BN shared over time", "#cc79a7"),
    "fixed_scale": Net("scale fixed, bias trained", "fixed scale", "#009e73"),
    "fixed_bias": Net("bias fixed at 0, scale trained", "fixed bias", "#56b4e9"),
    "no_affine": Net("without scale and bias", "no affine", "#e69f00"),
    "norms_only": Net("scale and bias alone trained", "scale and bias alone", "#cc79a7"),
    "inserted": Net("BN inserted into a plain net", "inserted BN", "#d55e00"),
    "trained": Net("net trained with BN", "trained with BN", "#0072b2"),
    "rescaled": Net("BN that does not centre", "BN, not centred", "#009e73"),
    "batch_norm_output": Net("BN in every layer, the last one too", "BN, last layer too", "#cc79a7"),
    "skip_init": Net("SkipInit, without BN", "SkipInit", "#e69f00"),
}


class Setting(NamedTuple):
    """One of several settings in which a net is trained."""

    suffix: str = ""  # appended to a net's name to form its arm's: the runs of `batch_norm` are in `batch_norm_0.1`
    words: str = ""  # in the statistics of claims

    def arm(self, net: str) -> str:
        """Return the name of a net's arm in this setting."""
        return f"{net}_{self.suffix}" if self.suffix else net

    def name(self, who: str) -> str:
        """Name nets in this setting."""
        return f"{who}, {self.words}" if self.words else who


UNNAMED = Setting()  # for experiments with only one setting


def learning_rate(rate: float, optimizer: str = "") -> Setting:
    """Return the setting of a learning rate, and of an optimiser where there are several."""
    named = {"sgd": "SGD, ", "adam": "Adam, "}.get(optimizer, "")
    return Setting(f"{optimizer}_{rate:g}".lstrip("_"), f"{named}learning rate {rate:g}".replace("e-0", "e-"))


def describe(suffix: str) -> str:
    """Return the words of a setting by its suffix: an optimiser and a learning rate, or a learning rate alone."""
    optimizer, _, rate = suffix.rpartition("_")
    return learning_rate(float(rate), optimizer).words
