"""One job in a process of its own: `python -m psbench.reproduction`, which reads what to do from its standard input.

The other end of the input stays open as long as the command that started it lives, and the job ends with it.
"""

from __future__ import annotations

import os
import sys
import threading

from psbench.reproduction.tasks import Task
from psbench_data import InputError
from psbench_data.console import refusal


def main() -> int:
    """Do the task on the first line of the standard input; what is wrong is said on lines that begin with `error: `."""
    task = Task.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_the_command, daemon=True).start()
    try:
        task.carry_out()
    except InputError as error:
        for fault in error.faults:
            print(f"error: {fault}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"error: {refusal(error)}", file=sys.stderr)
        return 1
    return 0


def _end_with_the_command() -> None:
    sys.stdin.read()
    # At once: what is half done is gone on with next time.
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
