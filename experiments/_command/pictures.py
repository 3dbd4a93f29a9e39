"""Pictures of an experiment, drawn from its data: wide ones, and, in a folder beside them, ones for narrow screens."""

import glob
import io
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from experiments._command import catalogue
from experiments._evidence.read import read_data

_NARROW = "narrow"  # the folder


class Picture(NamedTuple):
    """The bytes of a picture.

    Attributes:
        wide: as wide as a page.
        narrow: for a narrow screen; empty if there is none.
    """

    wide: bytes
    narrow: bytes = b""


def name_of(data_file: Path, part: str, kind: str = "png", *, narrow: bool = False) -> Path:
    """Return the file of a picture: named as the data file and, except for the first picture, as its part."""
    folder = data_file.parent / _NARROW if narrow else data_file.parent
    return folder / f"{data_file.stem}{part and '-'}{part}.{kind}"


def parts_of(data_file: Path, kind: str = "png", *, narrow: bool = False) -> dict[str, Path]:
    """List the further pictures of a data file in their order, by part."""
    first = name_of(data_file, "", kind, narrow=narrow)
    files = sorted(first.parent.glob(f"{glob.escape(first.stem)}-[1-9]-*.{kind}"))
    return {file.stem.removeprefix(f"{first.stem}-"): file for file in files}


def draw(experiment: ModuleType, data_file: Path, kind: str = "png") -> dict[str, Path]:
    """Draw an experiment's pictures from its data file, beside it.

    Args:
        experiment: the package.
        data_file: of the experiment.
        kind: png, or svg for vector graphics.

    Returns:
        The files of the wide pictures by part; the part of the first picture is empty.
    """
    return write(data_file, draw_data(experiment, read_data(data_file), kind), kind)


def write(data_file: Path, drawn: dict[str, Picture], kind: str = "png") -> dict[str, Path]:
    """Write pictures beside a data file, and remove further ones of earlier data; return the files of the wide ones."""
    from bnjax._host.files import write_whole

    for narrow in (False, True):
        for part, picture in drawn.items():
            target, content = name_of(data_file, part, kind, narrow=narrow), picture.narrow if narrow else picture.wide
            target.parent.mkdir(exist_ok=True)
            write_whole(target, lambda file, content=content: file.write(content))
        for part, file in parts_of(data_file, kind, narrow=narrow).items():
            if part not in drawn:
                file.unlink()
    return {part: name_of(data_file, part, kind) for part in drawn}


def draw_data(experiment: ModuleType, data: dict[str, Any], kind: str = "png") -> dict[str, Picture]:
    """Draw an experiment's pictures; return their bytes by part."""
    return {
        part: Picture(_image(layout.draw(), kind), _image(layout.draw(narrow=True), kind))
        for part, layout in lay_out(experiment, data).items()
    }


def lay_out(experiment: ModuleType, data: dict[str, Any]) -> dict[str, Any]:
    """Lay out an experiment's pictures, each ready to be drawn wide and narrow; return them by part.

    A module `figure` has `plot(data)`, the layout of the first picture, and may have `more(data)`, which maps names to
    functions that lay out further ones. These are numbered, so that their files sort in this order.
    """
    figure: Any = catalogue.part(experiment.__name__.rsplit(".", 1)[-1], "figure")
    more = figure.more(data) if hasattr(figure, "more") else {}
    plots = {"": figure.plot, **{f"{i}-{name}": plot for i, (name, plot) in enumerate(more.items(), start=2)}}
    return {part: plot(data) for part, plot in plots.items()}


def _image(figure: Any, kind: str) -> bytes:
    """Save a figure as SVG, or as a PNG of few colours."""
    from bnjax.draw.palette import png
    from bnjax.draw.style import own_style

    if kind == "png":
        return png(figure)
    image = io.BytesIO()
    with own_style():
        figure.savefig(image, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return image.getvalue()
