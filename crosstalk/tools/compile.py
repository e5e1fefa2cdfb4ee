"""Compiles the modules that every frame goes through, where there is a C compiler; see crosstalk/compiled.py.

    python -m crosstalk.tools.compile            compile, if it has not been done
    python -m crosstalk.tools.compile --check    say what a load test would run

Takes about a minute. Needs mypy (requirements-compile.txt) and a C compiler; exits with 1, and says why, where it
cannot be done: everything then runs as pure Python.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from crosstalk.compiled import FOLDER, IN_C, MANIFEST, MODULES, PURE, ROOT, finder, hashes, source_of

#: run by a Python of its own, in a folder where no pyproject.toml speaks of other things
_SETUP = """
from mypyc.build import mypycify
from setuptools import Extension, setup
import sys
paths = sys.argv[3:]
del sys.argv[3:]
in_python = ["--config-file=mypy.ini", *(path for path in paths if path.endswith(".py"))]
in_c = [path for path in paths if path.endswith(".c")]
setup(
    name="crosstalk-compiled",
    ext_modules=[
        *mypycify(in_python, group_name="crosstalk", opt_level="2", debug_level="0"),
        *(Extension(path[:-2].replace("/", "."), [path], extra_compile_args=["-O2"]) for path in in_c),
    ],
    packages=[],
)
"""
#: as pyproject.toml has it; types of the packages that bring none are not looked for
_CONFIG = """
[mypy]
python_version = 3.11
strict = true
follow_imports = silent
warn_unused_ignores = false
[mypy-locust.*,websocket.*,gevent.*]
ignore_missing_imports = true
follow_imports = skip
"""


class CannotCompile(Exception):
    """The text says what is missing, or what went wrong."""


def build(folder: Path = FOLDER, modules: Sequence[str] = (*MODULES, *IN_C), *, root: Path = ROOT) -> None:
    """Compile modules into a folder, which is replaced as a whole.

    :raises CannotCompile:
    """
    if shutil.which(os.environ.get("CC", "cc")) is None:
        raise CannotCompile("there is no C compiler")
    sources = hashes(modules, root=root)
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        shutil.copytree(root / "crosstalk", work / "crosstalk", ignore=shutil.ignore_patterns("__pycache__"))
        (work / "setup.py").write_text(_SETUP)
        (work / "mypy.ini").write_text(_CONFIG)
        _run(work, [source_of(name) for name in modules])
        made = sorted((work / "made").rglob("*.so"))
        files = {_module_of(file, work / "made"): file.name if file.parent == work / "made" else "" for file in made}
        new = folder.with_name(folder.name + ".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        for file, name in zip(made, list(files), strict=True):
            files[name] = f"{name}{_suffix(file)}"
            shutil.copy(file, new / files[name])
        if lacking := set(modules) - files.keys():
            raise CannotCompile(f"mypyc made nothing of {', '.join(sorted(lacking))}")
        (new / MANIFEST).write_text(json.dumps({"sources": sources, "files": files}, indent=1))
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)


def _run(work: Path, paths: list[str]) -> None:
    command = [sys.executable, "setup.py", "build_ext", "--build-lib=made", *paths]
    environment = {**os.environ, PURE: "1", "PYTHONPATH": ""}
    done = subprocess.run(command, cwd=work, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotCompile("\n".join(said[-5:]) or f"exit code {done.returncode}")


def _module_of(file: Path, made: Path) -> str:
    parts = file.relative_to(made).parts
    return ".".join((*parts[:-1], parts[-1].partition(".")[0]))


def _suffix(file: Path) -> str:
    return file.name[file.name.index(".") :]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compile nothing; say what would run")
    options = parser.parse_args()
    if options.check:
        print("compiled" if finder() is not None else "pure Python")
        return 0
    if finder() is not None:
        return 0
    try:
        build()
    except CannotCompile as problem:
        print(f"the receive path stays pure Python: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
