"""Finding an extension by name: the room's own table first, then entry points, then "module:name" or "file.py:name".

Every room keeps its table in its `__init__.py`. A table maps a name to "module:attribute", or to a module that
is itself the extension, so that a room costs nothing until one of its files is asked for.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deepswarm.core.errors import DoorError


def find(kind: str, name: str, table: Mapping[str, str]) -> Any:
    """The object that stands behind a name.

    Args:
        kind: The room, for messages and for the entry point group `deepswarm.<kind>`.
        name: A name of the table, of an entry point, or "module:attribute", or "file.py:attribute".
        table: The room's own names, each with "module:attribute".

    Returns:
        Whatever the attribute holds; each room says what that must be.

    Raises:
        DoorError: If nothing of that name can be found; suggests the nearest known name.
    """
    if name in table:
        return _load(table[name])
    if ":" in name:
        return _load_outside(kind, name)
    from importlib.metadata import entry_points

    for entry in entry_points(group=f"deepswarm.{kind}", name=name):
        return entry.load()
    near = difflib.get_close_matches(name, table, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(sorted(table))}"
    message = f"there is no {kind} named '{name}'; {hint}"
    raise DoorError(message)


def _load(address: str) -> Any:
    module, _, attribute = address.partition(":")
    loaded = importlib.import_module(module)
    return getattr(loaded, attribute) if attribute else loaded


def _load_outside(kind: str, name: str) -> Any:
    module, _, attribute = name.rpartition(":")
    try:
        loaded = _module_of_file(Path(module)) if module.endswith(".py") else importlib.import_module(module)
        return getattr(loaded, attribute)
    except (ImportError, AttributeError, OSError, SyntaxError) as error:
        message = f"the {kind} '{name}' cannot be loaded: {type(error).__name__}: {error}"
        raise DoorError(message) from error


def _module_of_file(path: Path) -> Any:
    from importlib.util import module_from_spec, spec_from_file_location

    found = spec_from_file_location(path.stem, path)
    if found is None or found.loader is None:
        message = f"{path} is not a Python file"
        raise ImportError(message)
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module
