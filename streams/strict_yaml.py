"""YAML as whoever wrote it meant it, and errors that say where, but not what stands there.

Files of risk information name people, and a policy holds the key of the draw: what goes wrong in them ends up in
terminals and in the logs of pipelines.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")


class KeyTwiceError(yaml.YAMLError):
    """One key stands twice among its like; YAML lets the last one win."""

    def __init__(self, key: str, line: int) -> None:
        named = f"`{key}`" if key.isidentifier() and key.islower() else "a key"
        super().__init__(f"line {line}: {named} stands there a second time")


class OnceEach(yaml.SafeLoader):
    """The safe loader, which refuses equal keys, and dates and numbers that there are not by their place."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set[str]()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise KeyTwiceError(key.value, key.start_mark.line + 1)
            seen.add(key.value)
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:
            problem = "there is no such date, time or number"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


def _unquoted(quoted: re.Match[str]) -> str:
    """One character and a sort of token (`<stream end>`) may be told; what is longer was written in the file."""
    return quoted[0] if len(quoted[0]) <= 3 or quoted[0][1] == "<" else "..."


def load_documents(text: str, loader: type[OnceEach] = OnceEach) -> list[Any]:
    """All documents of a text. Raises `ValueError`, which says the place and the problem, and not what stands there."""
    try:
        return list(yaml.load_all(text, loader))
    except KeyTwiceError as error:
        raise ValueError(str(error)) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ValueError(
            where + _QUOTED.sub(_unquoted, error.problem or error.context or "it cannot be read")
        ) from None
    except yaml.reader.ReaderError as error:
        raise ValueError(f"character {error.position + 1} is not allowed in YAML") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None
