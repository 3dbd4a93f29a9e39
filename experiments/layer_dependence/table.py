"""The table and the findings of the dependence between layers."""

from typing import Any


def summarise(data: dict[str, Any]) -> str:
    """Not written yet."""
    return ""


def findings(data: dict[str, Any]) -> str:
    """Not written yet."""
    return ""
