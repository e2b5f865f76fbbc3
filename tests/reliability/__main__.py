"""`python -m tests.reliability CAMPAIGN`: try a kind of fault many times, and keep what happened in measured.json.

A campaign is a package beside this file, with a function `add_arguments` and a function `rows`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from tests.reliability.record import keep

CAMPAIGNS = {
    "kill": "commands killed at random moments, and given again",
    "ranks": "trainings and predictions of two processes, one of which is killed",
    "disk": "full disks, read-only folders, files that vanish, two processes in one folder",
    "repeat": "everything from drawn people to a leaderboard again, in other surroundings",
    "fuzz": "damaged and malicious input for everything that reads files from outside",
    "mutate": "small faults put into evaluation, protocols and OIM, which the tests must notice",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one campaign; 1 where something happened that ought not to."""
    parser = argparse.ArgumentParser(prog="python -m tests.reliability", description=__doc__)
    campaigns = parser.add_subparsers(dest="campaign", required=True)
    for name, about in CAMPAIGNS.items():
        own = campaigns.add_parser(name, help=about)
        own.add_argument("--only", nargs="+", metavar="NAME", help="these of the campaign's parts")
        own.add_argument("--seed", type=int, default=0, help="of all that is random (0)")
        import_module(f"tests.reliability.{name}").add_arguments(own)
    asked = parser.parse_args(arguments)
    failed = 0
    for row in import_module(f"tests.reliability.{asked.campaign}").rows(asked):
        keep([row])
        failed += row.failed
        print(f"{row.fault}: {row.tried} tried, {row.outcomes}", flush=True)
    if failed:
        print(f"error: {failed} ended as they ought not to", file=sys.stderr)
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
