"""The policies that come with borderflow, and the reader of others: YAML into `agents.risk.policy.Policy`."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from agents.risk.policy import Policy, PolicyRefusedError, read_policy
from streams.strict_yaml import load_documents

BUILT_IN = ("default", "demo", "cdd")


def built_in_policy(name: str = "default") -> Policy:
    """One of `BUILT_IN`. Raises `PolicyRefusedError` for another name."""
    if name not in BUILT_IN:
        raise PolicyRefusedError(f"no built-in policy {name!r}; there are {', '.join(BUILT_IN)}")
    return parse_policy(files(__name__).joinpath(f"{name}.yaml").read_text(encoding="utf-8"))


def load_policy(path: str | Path = "") -> Policy:
    """The policy in a YAML file; the name of a built-in one instead of a path, nothing for the default.

    Raises `PolicyRefusedError` that names the file and the field.
    """
    if str(path) == "":
        return built_in_policy()
    if str(path) in BUILT_IN:
        return built_in_policy(str(path))
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as problem:
        raise PolicyRefusedError(f"{path}: {problem.strerror}") from None
    except UnicodeDecodeError:
        raise PolicyRefusedError(f"{path}: is not text in UTF-8") from None
    try:
        return parse_policy(text)
    except PolicyRefusedError as problem:
        raise PolicyRefusedError(f"{path}: {problem}") from None


def parse_policy(text: str) -> Policy:
    """A policy from YAML text. Raises `PolicyRefusedError`."""
    try:
        documents = load_documents(text)
    except ValueError as problem:
        raise PolicyRefusedError(f"not YAML: {problem}") from None
    if len(documents) > 1:
        raise PolicyRefusedError("not YAML: there is a second document in it")
    return read_policy(documents[0] if documents else None)
