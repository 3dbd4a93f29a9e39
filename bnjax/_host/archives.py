"""Read npz files from untrusted sources: pickles are refused, and the unpacked size is limited."""

import math
import os
import zipfile
from pathlib import Path
from typing import IO

import numpy as np

# An archive may unpack to this many bytes, or to this multiple of its own size. numpy.savez does not compress.
_ALWAYS = 2**26
_TIMES = 20
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class ArchiveError(ValueError):
    """An archive declares more than it may hold; the message is one line."""


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read every array of an npz file.

    Args:
        path: of the file.

    Returns:
        The arrays by name.

    Raises:
        ArchiveError: before anything is unpacked, if the file declares more bytes than it may hold.
        OSError: if it cannot be opened.
        Exception: of many other types, if it is not an npz file, is damaged, or holds pickles.
    """
    with open(path, "rb") as file:
        _check_size(file, Path(path))
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}


def _check_size(file: IO[bytes], path: Path) -> None:
    """Raise if an archive would unpack beyond its limit, or an array declares another size than its member has."""
    limit = max(_ALWAYS, _TIMES * os.fstat(file.fileno()).st_size)
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        declared = sum(member.file_size for member in members)
        if declared > limit:
            raise ArchiveError(f"{path} must unpack to at most {limit:,} bytes, it declares {declared:,}.")
        for member in members:
            with archive.open(member) as stream:
                shape, _, dtype = _HEADERS[np.lib.format.read_magic(stream)](stream)
                rest = member.file_size - stream.tell()
            # NOTE: numpy allocates the memory that a header declares before it reads.
            if math.prod(shape) * dtype.itemsize != rest:
                name, says = member.filename.removesuffix(".npy"), f"{dtype}{list(shape)}"
                raise ArchiveError(
                    f"{path} must hold arrays of the size they declare, {name!r} is {says} in {rest:,} bytes."
                )
