"""Asks PyPI's advisory database about every locked version; exit code 1 when one has a known vulnerability.

Where the database cannot be reached (a machine behind a mirror) it says for how many versions, and does not fail.
"""

from __future__ import annotations

import json
import subprocess
import sys


def main(lock: str) -> int:
    """Audit one lock file."""
    command = [sys.executable, "-m", "pip_audit", "--no-deps", "--disable-pip", "--requirement", lock]
    done = subprocess.run(  # noqa: S603 - our own arguments
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, timeout=300
    )
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        print(f"NOT AUDITED: the advisory database did not answer: {done.stderr.strip().splitlines()[-1:]}")  # noqa: T201
        return 0
    unknown = [one for one in found if "skip_reason" in one]
    hit = [one for one in found if one.get("vulns")]
    for one in hit:
        for told in one["vulns"]:
            print(f"{one['name']} {one['version']}: {told['id']}, fixed in {', '.join(told['fix_versions']) or '-'}")  # noqa: T201
    if unknown:
        print(f"NOT AUDITED: {len(unknown)} of {len(found)} versions; the advisory database is not reachable from here")  # noqa: T201
    print(f"{len(found) - len(unknown)} versions audited, {len(hit)} with known vulnerabilities")  # noqa: T201
    return int(bool(hit))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
