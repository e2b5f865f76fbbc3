"""`python -m tests.reliability fuzz`: damaged and malicious input for everything that reads files from outside.

target.py says what a target is, mutating.py how its files are damaged, boxed.py where they are read, judging.py what is
right, and running.py counts. The targets are in of_*.py.
"""

from tests.reliability.fuzz.running import add_arguments, rows

__all__ = ["add_arguments", "rows"]
