"""The sources of claims, with their kind, their address, and the set-up of their numbers."""

from dataclasses import dataclass, replace
from typing import Literal, get_args

Origin = Literal["paper", "article or repository", "replication", "ours"]
ORIGINS: tuple[Origin, ...] = get_args(Origin)


@dataclass(frozen=True)
class Source:
    """A source.

    Attributes:
        title: how it is cited, with the section or figure.
        origin: the kind of source; a comparison that no source makes is ours.
        address: where it can be read; empty if no address is known, or if the comparison is ours.
        setup: the set-up in which its numbers were measured.
    """

    title: str
    origin: Origin = "ours"
    address: str = ""
    setup: str = ""

    def __post_init__(self):
        if self.origin not in ORIGINS:
            raise ValueError(f"origin must be one of {', '.join(ORIGINS)}, got {self.origin!r}.")

    def at(self, place: str) -> "Source":
        """Return the source with the section or figure added to its title.

        >>> SANTURKAR.at("Fig. 4a").title
        'Santurkar et al. 2018, Fig. 4a'
        """
        return replace(self, title=f"{self.title}, {place}")

    def __str__(self) -> str:
        return f"{self.title}, {self.address}" if self.address else self.title


_VGG = "their VGG of 13 or more layers, batch 128, one run"
SANTURKAR = Source("Santurkar et al. 2018", "paper", "arxiv.org/abs/1805.11604", _VGG)
SANTURKAR_LINEAR = replace(SANTURKAR, setup="their deep linear network, one draw")
SANTURKAR_THEORY = replace(SANTURKAR, setup="")
IOFFE = Source(
    "Ioffe & Szegedy 2015",
    "paper",
    "arxiv.org/abs/1502.03167",
    "their MNIST network, whose learning rate and initial scale are not stated, one run",
)
BJORCK = Source("Bjorck et al. 2018", "paper", "arxiv.org/abs/1806.02375", "their ResNet of 110 layers")
YANG = Source("Yang et al. 2019", "paper", "arxiv.org/abs/1902.08129", "theory of wide networks")
DANESHMAND_RANK = Source("Daneshmand et al. 2020", "paper", "arxiv.org/abs/2003.01652")
DANESHMAND = Source(
    "Daneshmand et al. 2021",
    "paper",
    "arxiv.org/abs/2106.03970",
    "linear nets of width 16 to 512, 4 inputs close to one line, BN that does not centre, 500 layers, 20 draws",
)
NACHUM = Source("Nachum et al. 2024", "paper", "arxiv.org/abs/2412.02843")
KARAKIDA = Source("Karakida et al. 2019", "paper", "arxiv.org/abs/1906.02926", "theory of wide networks")
DE = Source("De & Smith 2020", "paper", "arxiv.org/abs/2002.10444")
ANDREYEV = Source(
    "Andreyev & Beneventano 2024", "paper", "arxiv.org/abs/2412.20553", "mini-batch SGD; the abstract names no net"
)
BA = Source("Ba, Kiros & Hinton 2016", "paper", "arxiv.org/abs/1607.06450", "their attentive reader")
COOIJMANS = Source(
    "Cooijmans et al. 2016",
    "paper",
    "arxiv.org/abs/1603.09025",
    "their LSTM of 100 units on the 784 pixels of MNIST, batch 100",
)
WU_JOHNSON = Source(
    "Wu & Johnson 2021",
    "paper",
    "arxiv.org/abs/2105.07576",
    "ResNet-50 on ImageNet, batch 1,024, read from the pixels of a figure",
)
IOFFE_RENORM = Source("Ioffe 2017", "paper", "arxiv.org/abs/1702.03275", "Inception-v3 on ImageNet, one run")
PARRY = Source(
    "Parry-Git's repository Deep-Learning-Project2",
    "replication",
    "github.com/Parry-Git/Deep-Learning-Project2",
    "VGG-A, SGD at 0.01 with momentum, 10,000 images of CIFAR-10, 10 epochs, all parameters, one run",
)
# Its numbers are in a data file, `stuff/results.pt`; it plots them and states none in words.
JORDAN = Source(
    "K. Jordan's repository BatchNorm-adaptation-behavior",
    "replication",
    "github.com/KellerJordan/BatchNorm-adaptation-behavior",
    "a net of seven convolutions, one run, 19 corruptions of CIFAR-10, statistics of all images of a corruption",
)
DIMITRIOU = Source("Dimitriou & Arandjelovic 2020", "paper", "arxiv.org/abs/2007.08554")
GARBIN = Source(
    "Garbin et al. 2020",
    "replication",
    "doi.org/10.1007/s11042-019-08453-9",
    "the abstract names dense and convolutional nets, and no data",
)
CAFFENET = Source(
    "caffenet-benchmark",
    "replication",
    "github.com/ducha-aiki/caffenet-benchmark",
    "CaffeNet on ImageNet of 128 pixels, dropout after both hidden dense layers, one run",
)
# Its classifier has dropout; the pixels are divided by 255 and not standardised.
MAMELI = Source(
    "Mameli's repository",
    "article or repository",
    "github.com/mameli/Test_batch_norm_paper",
    "VGG-A with one batch norm, after layer 4, and dropout, inputs / 255, learning rate 0.01, one run of 30 epochs",
)
MAMELI_GRADIENTS = replace(
    MAMELI.at("notebook batch_norm-grads"), setup=MAMELI.setup.replace("30 epochs", "10 epochs, the second notebook's")
)
HUBER = Source(
    'Huber 2020, "Batch normalization in 3 levels of understanding"',
    "article or repository",
    "github.com/Johann-Huber/batchnorm_pytorch",
    "his MNIST network, whose batch norm has too small a variance, one run",
)
# Of the article, its title and its opening could be read; its statements are cited from a summary.
VERSUS = Source(
    'Article "Batch normalization vs internal covariate shift", ML Journey',
    "article or repository",
    "mljourney.com/batch-normalization-vs-internal-covariate-shift",
)
ALEXEYGB = Source(
    "AlexeyGB's repository",
    "replication",
    "github.com/AlexeyGB/batch-norm-helps-optimization",
    "VGG-A, Adam, one run",
)


def ours(title: str) -> Source:
    """Return the source of a control or a comparison of this project, which no published source makes."""
    return Source(title, "ours")
