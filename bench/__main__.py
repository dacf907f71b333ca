"""``python -m bench``: read what ``pytest --benchmark --benchmark-json=FILE`` wrote.

python -m bench report FILE.json [--html OUT.html] [--png OUT.png]
python -m bench compare OLD.json NEW.json [--threshold 0.05]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from . import comparison, report, results


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    Returns
    -------
    int
        0; 1 if `compare` found something slower; 2 for input that cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m bench")
    commands = parser.add_subparsers(required=True)

    page = commands.add_parser("report", help="make a page with pictures of a run")
    page.add_argument("run", metavar="FILE.json", type=Path)
    page.add_argument("--html", type=Path, help="the page; by default beside FILE.json")
    page.add_argument("--png", type=Path, help="also a picture of the headline, for a README")
    page.set_defaults(command=_report)

    watch = commands.add_parser("compare", help="say what got slower since another run")
    watch.add_argument("old", metavar="OLD.json", type=Path)
    watch.add_argument("new", metavar="NEW.json", type=Path)
    watch.add_argument("--threshold", type=float, default=0.05, help="least change to report")
    watch.set_defaults(command=_compare)

    chosen = parser.parse_args(arguments)
    try:
        return chosen.command(chosen)
    except (results.Unreadable, report.CannotDraw) as error:
        print(error, file=sys.stderr)
        return 2


def _report(chosen: argparse.Namespace) -> int:
    run = results.read(chosen.run)
    html = chosen.html or chosen.run.with_suffix(".html")
    report.write(run, html, chosen.png)
    print(f"wrote {html}" + (f" and {chosen.png}" if chosen.png else ""))
    return 0


def _compare(chosen: argparse.Namespace) -> int:
    old, new = results.read(chosen.old), results.read(chosen.new)
    found = comparison.compare(old, new, chosen.threshold)
    print(comparison.describe(found, old.machine, new.machine))
    return 1 if found.slower else 0


if __name__ == "__main__":
    sys.exit(main())
