"""The table of the quickstart."""

from typing import Any

from experiments._evidence.table import landscape


def summarise(data: dict[str, Any]) -> str:
    """Put accuracy and landscape of both nets into a table."""
    return "\n".join(landscape(data["arms"]))
