"""Of what JAX's libraries print where a process of a job dies, one line is left."""

import subprocess
import sys

import pytest

from experiments._training import quiet_libraries
from experiments._training.quiet_libraries import LOST, NOT_THERE, in_one_line

POLLED = "E1129 13:23:58.344369    1894 coordination_service_agent.cc:289] Polled an error (this or another task).\n"
UNHEALTHY = [
    "E1129 13:23:58.343993 1883 coordination_service.cc:1549] The following tasks are unhealthy:\n",
    "1\n",
    "\n",
]
FATAL = (
    "F1129 13:23:58.344618    1894 client.h:80] Terminating process because the JAX distributed service detected it.\n"
)
CALL = "RPC: /xla.coordination.CoordinationService/"
STACK = ["*** Check failure stack trace: ***\n", "    @     0x7efd1ea40634  absl::log_internal::LogMessage::Flush()\n"]
OTHER = ["W1129 13:23:58.000000    1 cuda_dnn.cc:9] Autotuning is slow.\n", "A second line of it.\n"]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([*OTHER, "plain\n"], [*OTHER, "plain\n"]),
        ([*UNHEALTHY, POLLED, *OTHER], OTHER),
        ([POLLED, FATAL, "\n", f"{CALL}PollForError\n", *STACK], [f"{LOST}\n"]),
        ([FATAL, "\n", f"{CALL}RegisterTask\n", *STACK], [f"{NOT_THERE}\n"]),
        ([*OTHER, FATAL], [*OTHER, f"{LOST}\n"]),
        ([f"{LOST}\n", POLLED, FATAL, f"{CALL}PollForError\n", *STACK], [f"{LOST}\n"]),
        ([POLLED, FATAL, f"{CALL}PollForError\n", f"{LOST}\n", *STACK], [f"{LOST}\n"]),
        ([POLLED, f"{LOST}\n"], [f"{LOST}\n"]),
    ],
    ids=[
        "nothing",
        "about others",
        "one has died",
        "one never came",
        "cut",
        "Python first",
        "Python too",
        "Python alone",
    ],
)
def test_one_line_is_left(lines, expected):
    """Whoever notices first; what is about anything else passes."""
    said = [*in_one_line(lines)]
    assert [line for line in said if line != "\n"] == expected


def test_the_process_ends_with_what_it_reads():
    """It passes lines to its standard error, and needs nothing but Python."""
    command = [sys.executable, "-I", "-S", quiet_libraries.__file__]
    text = "".join([*OTHER, FATAL, f"{CALL}PollForError\n", *STACK])
    found = subprocess.run(command, input=text, capture_output=True, text=True, timeout=60, check=True)
    assert found.stderr == "".join([*OTHER, "\n", f"{LOST}\n"])  # below a bar
