"""Files that a person wrote: read, found, or imported; what cannot be used is a `ConfigError` in one line."""

from __future__ import annotations

import importlib
import importlib.util
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

#: where files are looked for when an option names none: the folder of the scenario, then ./scenarios
SCENARIOS = Path("scenarios")


class ConfigError(Exception):
    """A setting cannot be used. The text is for the person at the keyboard."""


def scenario_folder(options: Any) -> Path:
    """The folder of the first locustfile: a project of one's own keeps its prompts and limits there."""
    first = str(getattr(options, "locustfile", "") or "").split(",")[0]
    return Path(first).resolve().parent if first.endswith(".py") else Path.cwd()


def find(name: str, folder: Path) -> Path:
    """The file of that name that counts for a scenario in `folder`."""
    for candidate in (folder / name, folder / SCENARIOS / name, SCENARIOS / name):
        if candidate.exists():
            return candidate
    return SCENARIOS / name


def beside(file: Path, name: str) -> Path:
    """A path that stands in `file`: from the folder of that file, else from where one works."""
    near = file.parent / name
    return near if near.exists() else Path(name)


def read_text(path: Path, said_by: str) -> str:
    """:param said_by: the option or key that names the file.

    :raises ConfigError:
    """
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{said_by} {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{said_by} {path}: expected a text file in UTF-8") from None


def read_toml(path: Path, said_by: str) -> dict[str, Any]:
    """:raises ConfigError:"""
    try:
        return tomllib.loads(read_text(path, said_by))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not readable as TOML: {error}") from None


def require_file(path: str, said_by: str) -> str:
    """:raises ConfigError:"""
    if path and not Path(path).is_file():
        raise ConfigError(f"{said_by} {path}: no such file")
    return path


def load_object(module_name: str, name: str, *, said_by: str, kind: str) -> Any:
    """What is called `name` in a module, or in a file that ends in `.py`.

    :param kind: what it should be ("class", "function"), for the error.
    :raises ConfigError:
    """
    try:
        module = (
            _module_of_file(Path(module_name)) if module_name.endswith(".py") else importlib.import_module(module_name)
        )
    except (ImportError, OSError, SyntaxError) as error:
        raise ConfigError(f"{said_by}: cannot import {module_name}: {error}") from None
    except Exception as error:  # whatever the file does when it is imported
        raise ConfigError(f"{said_by}: cannot import {module_name}: {type(error).__name__}: {error}") from None
    found = getattr(module, name, None)
    if found is None:
        raise ConfigError(f"{said_by}: {module_name} has no {kind} {name}")
    return found


def _module_of_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None or not path.exists():
        raise ImportError(f"no such file: {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
