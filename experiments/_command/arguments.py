"""The arguments of an experiment: a preset, choices among several kinds, and the fields of the chosen kinds."""

import argparse
import contextlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from typing import Annotated, Any, NoReturn

import tyro

from experiments._command.refusals import explain
from experiments._config import Norm, Options, Probes, runs_of
from experiments._config.probes import CHOICES


def parse(name: str, doc: str, presets: dict[str, Any], arguments: list[str]) -> tuple[str, Any, Options]:
    """Return the preset's name, the configuration and the options that the arguments ask for.

    The preset and the choices, such as `--norm lp`, are parsed first: they determine which fields there are.

    Raises:
        ValueError: if an argument is unknown or its value breaks a rule; the message is one line.
        SystemExit: after the help.
    """
    (preset,), rest = _take(["preset"], arguments)
    preset = next(iter(presets)) if preset is None else preset
    if preset not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, got {preset!r}.")
    config, choices = presets[preset], [*_choices(presets[preset])]
    chosen, rest = _take(
        [choice.name for choice in choices], rest, [choice.name for choice in choices if choice.is_many]
    )
    for choice, value in zip(choices, chosen, strict=True):
        if value is not None:
            config = _put(config, choice.name.split("."), choice, value)

    unnamed = tyro.conf.arg(name="")
    parts = [("config", Annotated[type(config), unnamed]), ("options", Annotated[Options, unnamed])]
    both: Any = make_dataclass("Arguments", parts, frozen=True)
    box = io.StringIO()
    try:
        with contextlib.redirect_stderr(box):
            parsed = tyro.cli(
                both,
                default=both(config=config, options=Options()),
                args=rest,
                prog=f"python -m experiments {name}",
                description=_description(doc, presets, choices),
                config=(tyro.conf.FlagConversionOff,),
            )
    except SystemExit as stop:
        if stop.code:
            message = explain(box.getvalue(), rest, config, Options())
            needs = _unfitting(choices, message)
            raise ValueError(message.partition(" (perhaps")[0] + needs if needs else message) from None
        raise
    for prefix, run in runs_of(parsed.config):
        run.check_layers(prefix)
    return preset, parsed.config, parsed.options


@dataclass(frozen=True)
class _Choice:
    """A field with several kinds to choose from: a normaliser (one kind), or the probes (any number of kinds)."""

    name: str
    kinds: tuple[str, ...]
    is_many: bool

    def settings(self) -> Iterator[tuple[str, str]]:
        """List the flag of each setting of each kind, with the argument that chooses the kind."""
        flag = f"--{self.name.replace('_', '-')}"
        for kind, made in (CHOICES if self.is_many else Norm.choices()).items():
            path = f"{flag}.{kind.replace('_', '-')}" if self.is_many else flag
            yield from ((f"{path}.{field.name.replace('_', '-')}", f"{flag} {kind}") for field in fields(made))

    def of(self, config: Any, current: Any, value: Any) -> Any:
        """Return the chosen normaliser or probes; settings shared with the current ones are kept."""
        for kind in value if self.is_many else [value]:
            if kind not in self.kinds:
                raise ValueError(f"{self.name} must be one of {', '.join(self.kinds)}, got {kind!r}.")
        if self.is_many and len({*value}) < len(value):
            raise ValueError(f"{self.name} must be different, got {' '.join(value)}.")
        return config.measuring(*value).probes if self.is_many else Norm.choices()[value].like(current)


def _choices(config: Any, prefix: str = "") -> Iterator[_Choice]:
    """List the fields that have several kinds, including nested fields."""
    for field in fields(config):
        name, value = f"{prefix}{field.name}", getattr(config, field.name)
        if field.type is Norm:
            yield _Choice(name, tuple(Norm.choices()), is_many=False)
        elif field.type is Probes:
            yield _Choice(name, tuple(CHOICES), is_many=True)
        elif is_dataclass(value):
            yield from _choices(value, f"{name}.")


def _put(config: Any, path: Sequence[str], choice: _Choice, value: Any) -> Any:
    """Set the field at this path to the chosen kind."""
    name, *deeper = path
    current = getattr(config, name)
    new = _put(current, deeper, choice, value) if deeper else choice.of(config, current, value)
    return replace(config, **{name: new})


def _description(doc: str, presets: dict[str, Any], choices: list[_Choice]) -> str:
    """Describe an experiment, its presets and its choices."""
    flags = [
        f"--{choice.name.replace('_', '-')} {{{' | '.join(choice.kinds)}}}{' ...' * choice.is_many}"
        for choice in choices
    ]
    known = f"Presets: --preset {{{' | '.join(presets)}}} (default: {next(iter(presets))}); other fields override it."
    chosen = [f"Choices: {'; '.join(flags)}. Listed are the fields of what is chosen."] if flags else []
    # Each part of the docstring is a paragraph.
    parts = re.sub(r"\n(?=(Claim|Source|Command|Measured|Counter-examples?): )", "\n\n", doc.strip())
    return "\n\n".join([parts, known, *chosen])


def _unfitting(choices: list[_Choice], message: str) -> str:
    """Name the choices that accept the flags a message calls unknown; skip flags that no choice accepts."""
    unknown = message.partition(" (perhaps")[0] if message.startswith("Unrecognized options") else ""
    known = [setting for choice in choices for setting in choice.settings()]
    flags = re.findall(r"--[\w.-]+", unknown)
    fitting = {flag: [kind for name, kind in known if name == flag.replace("_", "-")] for flag in flags}
    return "".join(f"; {flag} needs {' or '.join(kinds)}" for flag, kinds in fitting.items() if kinds)


class _Parser(argparse.ArgumentParser):
    """A parser that raises an error instead of exiting."""

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _take(names: list[str], arguments: list[str], many: Sequence[str] = ()) -> tuple[list[Any], list[str]]:
    """Return the values of some arguments, None for a missing one, and the remaining arguments."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    for name in names:
        flags = {f"--{name}", f"--{name.replace('_', '-')}"}
        parser.add_argument(*sorted(flags), dest=name, nargs="*" if name in many else None)
    known, rest = parser.parse_known_args(arguments)
    return [getattr(known, name) for name in names], rest
