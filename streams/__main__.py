"""`borderflow`, and `python -m streams`: the command line, and Ctrl-C while it is still being imported."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point of the `borderflow` command."""
    try:
        from streams.cli import main as command
    except KeyboardInterrupt:
        print("borderflow: interrupted", file=sys.stderr)  # noqa: T201 - the command line's own voice
        sys.exit(130)
    command()


if __name__ == "__main__":
    main()
