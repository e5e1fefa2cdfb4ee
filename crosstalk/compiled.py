"""The modules that every frame goes through may run compiled: the same sources, as a C compiler has them.

`python -m crosstalk.tools.compile` makes the compiled modules (with mypyc; one is written in C) and a manifest with the
hashes of the sources that they were made of. This module is imported before all others of the package, and lets Python
find the compiled ones in place of their sources, if, and only if, all hashes are still right: a source that was edited
runs as it is. Without them everything runs as pure Python, at about half the speed. `CROSSTALK_PURE=1` asks for that.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import ModuleType

#: what is compiled, together: calls between these modules cost no more than calls in C
MODULES = (
    "crosstalk.checks.canary",
    "crosstalk.checks.deep",
    "crosstalk.checks.distil",
    "crosstalk.checks.exposure",
    "crosstalk.checks.findings",
    "crosstalk.checks.isolation",
    "crosstalk.checks.pieces",
    "crosstalk.checks.quick",
    "crosstalk.checks.run",
    "crosstalk.checks.strings",
    "crosstalk.checks.transforms",
    "crosstalk.clock",
    "crosstalk.connection",
    "crosstalk.incoming",
    "crosstalk.live_run",
    "crosstalk.notes",
    "crosstalk.person",
    "crosstalk.record.batch",
    "crosstalk.record.event_log",
    "crosstalk.session",
    "crosstalk.shelf",
    "crosstalk.stream",
    "crosstalk.terms",
    "crosstalk.wire.event",
    "crosstalk.wire.lifecycle",
    "crosstalk.wire.netra_events",
    "crosstalk.wire.rfc6455",
)
#: what is written in C: each has its equal in Python beside it
IN_C = ("crosstalk.checks.fast",)
ROOT = Path(__file__).resolve().parents[1]
#: where the compiled modules of this Python lie
FOLDER = ROOT / "build" / "compiled" / str(sys.implementation.cache_tag)
MANIFEST = "manifest.json"
PURE = "CROSSTALK_PURE"


def source_of(module: str) -> str:
    """The path of its source, from the root."""
    return module.replace(".", "/") + (".c" if module in IN_C else ".py")


def hashes(modules: Sequence[str] = (*MODULES, *IN_C), *, root: Path = ROOT) -> dict[str, str]:
    """Module → hash of its source.

    :raises OSError: there is no source.
    """
    return {name: sha256((root / source_of(name)).read_bytes()).hexdigest() for name in modules}


class Finder(importlib.abc.MetaPathFinder):
    """Finds modules in these files.

    :param files: name of a module → its compiled file.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self.files = dict(files)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = self.files.get(fullname)
        if file is None:
            return None
        loader = importlib.machinery.ExtensionFileLoader(fullname, str(file))
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)


def finder(folder: Path = FOLDER, *, root: Path = ROOT) -> Finder | None:
    """What finds the compiled modules in a folder; None where there are none of these very sources."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if manifest["sources"] != hashes(manifest["sources"], root=root):
            return None
        files = {name: folder / file for name, file in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return Finder(files) if all(file.exists() for file in files.values()) else None


def install() -> bool:
    """Let Python find the compiled modules; are there any, and are they wanted?"""
    found = None if os.environ.get(PURE) else finder()
    if found is not None:
        sys.meta_path.insert(0, found)
    return found is not None


def in_use() -> str:
    """What the receive path is in this process: "compiled" or "pure Python"."""
    return "compiled" if any(isinstance(one, Finder) for one in sys.meta_path) else "pure Python"
