"""Rows of measurements in a file, and the table in Markdown that is made of them; imports nothing heavy."""

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bnjax.runs.json_files import finite

NOT_MEASURED = "not measured"
NO_TIME = "no time was left"
UNITS = {"scan": "points", "sweep": "steps", "training": "steps"}
_NAMES = ("kind", "what", "width", "dtype", "precision", "batching")
_MACHINE = ("device", "platform", "versions")

Row = dict[str, Any]


class Rows:
    """Rows of measurements in a file of JSON lines, each on disk before the next is measured."""

    def __init__(self, path: Path):
        self.path = path

    def add(self, **row: Any) -> None:
        """Write a row; numbers that are infinite or no numbers, which JSON lacks, are null."""
        self.add_all([row])

    def add_all(self, rows: Sequence[Row]) -> None:
        """Write rows at once."""
        with self.path.open("a") as file:
            file.write("".join(json.dumps(finite(row)) + "\n" for row in rows))
            file.flush()
            os.fsync(file.fileno())

    def read(self) -> list[Row]:
        """Read all rows; half of one, whose process was killed, is left out."""
        found = []
        for line in self.path.read_text().splitlines() if self.path.exists() else []:
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
        return found


def name_of(row: Row) -> str:
    """Return what tells a row from the others of its machine."""
    return json.dumps([row.get(name) for name in _NAMES])


def by_machine(rows: Sequence[Row]) -> list[tuple[Row | None, list[Row]]]:
    """Sort rows by the machine on which they were measured, that of the row of kind "machine" before them.

    Args:
        rows: in the order in which they were written.

    Returns:
        (machine, rows) of each device, platform and versions, the newest first: the newest row about the machine, None where
        there is none, and the latest row of each name. An error replaces another one, and no measurement.
    """
    machines: dict[str, tuple[Row | None, dict[str, Row]]] = {}
    latest: dict[str, Row] = {}
    for row in rows:
        if row["kind"] == "machine":
            key = json.dumps([row.get(name) for name in _MACHINE])
            latest = machines.pop(key, (None, {}))[1]
            machines[key] = (row, latest)
            continue
        if not machines:
            machines[""] = (None, latest)
        before = latest.get(name_of(row))
        if before is None or "error" not in row or "error" in before:
            latest[name_of(row)] = row
    return [(machine, [*found.values()]) for machine, found in reversed(machines.values())]


def unmeasured(rows: Sequence[Row], planned: Sequence[Row]) -> list[Row]:
    """List the planned rows of which nothing was written since the last row about a machine, neither number nor error."""
    ends = [i for i, row in enumerate(rows) if row["kind"] == "machine"]
    written = {name_of(row) for row in rows[ends[-1] if ends else 0 :] if row.get("error") != NOT_MEASURED}
    return [row for row in planned if name_of(row) not in written]


def table(rows: Sequence[Row]) -> str:
    """Write rows as Markdown, a table for each machine, the newest first."""
    return "\n\n".join(_table(machine, found) for machine, found in by_machine(rows) or [(None, [])])


def _table(machine: Row | None, found: Sequence[Row]) -> str:
    """Write the rows of one machine."""
    lines = [_about(machine, found)] if machine else []
    lines += ["", "| device | rate |", "|---|---|"]
    lines += [f"| {_what(row)} | {_rate(row)} |" for row in found if row["kind"] == "rate"]
    shapes = [row for row in found if row["kind"] == "convolution"]
    failed = [row for row in shapes if "error" in row]
    lines += (
        [f"| convolutions in bfloat16 | {len(shapes) - len(failed)} of {len(shapes)} shapes run |"] if shapes else []
    )
    lines += [f"| convolution {row['what']} | {row['error']} |" for row in failed]
    lines += ["", "| net | batching | per second | images per second | share of matrix rate |", "|---|---|---|---|---|"]
    lines += [_speed(row) for row in found if row["kind"] in UNITS]
    lines += ["", "| command | seconds | ended |", "|---|---|---|"]
    lines += [_command(row) for row in found if row["kind"] == "command"]
    return "\n".join(lines)


def _about(machine: Row, rows: Sequence[Row]) -> str:
    """Name machine, net and batch in a sentence; each rate is that of one device."""
    batches = sorted({row["batch"] for row in rows if "batch" in row})
    batch = f", batches of {', '.join(map(str, batches))} images of 32x32" if batches else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    count, several, _ = machine["device"].partition(" x ")
    device = f"one of {machine['device']}" if several and count != "1" else machine["device"]
    return f"On {device} ({machine['platform']}, {versions}), {machine['date']}: VGG-A with batch norm{batch}."


def _what(row: Row) -> str:
    """Describe a rate."""
    return ", ".join(filter(None, [row["what"], row.get("dtype"), row.get("precision")]))


def _rate(row: Row) -> str:
    """Write a rate, or why there is none."""
    if "error" in row:
        return row["error"]
    return (
        f"{row['bytes_per_second'] / 1e9:,.1f} GB/s"
        if "bytes_per_second" in row
        else f"{row['operations_per_second'] / 1e12:,.3f} TFLOP/s"
    )


def _speed(row: Row) -> str:
    """Write the speed of a scan, a sweep or a training."""
    net = f"{row['kind']}, width {row['width']:g}, {row['dtype']}, precision {row['precision']}"
    found = row.get("found")
    kernels = (found or {}).get("kernels", "grouped")
    form = "" if kernels == "grouped" else f" {kernels}"
    batching = row["batching"] + (f" ({found['batching']}{form})" if found else "")
    if "error" in row:
        return f"| {net} | {batching} | {row['error']} | | |"
    unit = UNITS[row["kind"]]
    share = f"{row['share']:.0%}" if "share" in row else "-"
    return (
        f"| {net} | {batching} | {row[f'{unit}_per_second']:,.1f} {unit} | {row['images_per_second']:,.0f} | {share} |"
    )


def _command(row: Row) -> str:
    """Write how a command ended, and what it does beside what its name says."""
    what = "; ".join(filter(None, [row["what"], row.get("beside")]))
    return f"| {what} | {row['seconds']:.0f} | {row.get('error', 'done')} |"
