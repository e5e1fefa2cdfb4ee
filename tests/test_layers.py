"""The rooms of the house and their doors, held with `ast`: who imports whom, and where each effect enters."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TOP_LEVEL = {"users", "reports", "scenarios", "locustfile", "tests", "bench", "examples"}
#: the one reader of settings and files, and the parts it is made of
SETTINGS = {
    f"crosstalk.{name}"
    for name in ("calibration", "config", "credentials", "environments", "files", "hosts", "prompts", "proxy")
}
#: doors and values; what is in neither set stands above them: harness, user, session, tools, …
DOORS = (
    SETTINGS
    | {
        f"crosstalk.{name}"
        for name in ("accounts", "clock", "connection", "health", "http", "live_run", "options", "stream", "terms")
    }
    | {"crosstalk.vitals"}
)
#: modules that reach a clock, a socket, a disk, a process or a thread
EFFECTS = {
    "aiohttp", "asyncio", "concurrent", "ctypes", "fcntl", "gevent", "glob", "http", "io", "locust", "logging", "mmap",
    "multiprocessing", "os", "pathlib", "psutil", "pyarrow", "queue", "requests", "sched", "secrets", "select",
    "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "time",
    "urllib3", "websocket", "websockets",
}  # fmt: skip
HEAVY = {"numpy", "pyarrow", "matplotlib", "pandas"}
#: what a load test imports before its workers are forked
BEFORE_FORK = ("crosstalk.harness", "crosstalk.user", "users.regular", "reports")


# --- reading --------------------------------------------------------------------------------------------------------


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def sources() -> dict[str, ast.Module]:
    """Every product module: its name and its tree."""
    files = [*ROOT.glob("*.py"), *(file for room in sorted(TOP_LEVEL - {"locustfile", "tests"} | {"crosstalk"})
                                   for file in (ROOT / room).rglob("*.py"))]  # fmt: skip
    return {module_of(file): ast.parse(file.read_text(encoding="utf-8"), str(file)) for file in files}


@cache
def nodes(tree: ast.AST) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(tree))


def imports_of(tree: ast.AST, package: str = "", *, module_level: bool = False) -> Iterator[str]:
    """Names of imported modules, `from x import y` as "x.y". `module_level`: only what runs on import."""
    for node in _on_import(tree) if module_level else nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *filter(None, [base])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _on_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Nodes that are run when the module is imported: not the bodies of functions, nor what is for type checkers."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _on_import(node)


def within(name: str, *rooms: str) -> bool:
    return any(name == room or name.startswith(room + ".") for room in rooms)


def modules(*rooms: str) -> dict[str, ast.Module]:
    found = {name: tree for name, tree in sources().items() if within(name, *rooms)}
    assert found, f"no modules in {rooms}"
    return found


def package_of(name: str) -> str:
    return name if (ROOT / name.replace(".", "/") / "__init__.py").exists() else name.rpartition(".")[0]


def offences(rooms: tuple[str, ...], wrong) -> list[str]:  # type: ignore[no-untyped-def]
    """ "module imports x" for every import in the rooms that `wrong(module, imported)` says is wrong."""
    return [
        f"{name} imports {imported}"
        for name, tree in modules(*rooms).items()
        for imported in imports_of(tree, package_of(name))
        if wrong(name, imported)
    ]


# --- who imports whom -----------------------------------------------------------------------------------------------


def test_the_engine_imports_none_of_the_top_level():
    assert offences(("crosstalk",), lambda _, imported: within(imported, *TOP_LEVEL)) == []


def test_users_and_reports_never_import_each_other_nor_what_stands_above_them():
    above = ("scenarios", "locustfile", "tests")
    assert offences(("users",), lambda _, imported: within(imported, "reports", *above)) == []
    assert offences(("reports",), lambda _, imported: within(imported, "users", *above)) == []


def test_the_wire_stands_alone():
    assert offences(("crosstalk.wire",), lambda _, i: within(i, "crosstalk") and not within(i, "crosstalk.wire")) == []


def test_checks_stand_on_the_wire_alone():
    allowed = ("crosstalk.wire", "crosstalk.checks")
    assert offences(("crosstalk.checks",), lambda _, i: within(i, "crosstalk") and not within(i, *allowed)) == []


def test_the_record_stands_on_checks_and_wire():
    allowed = ("crosstalk.wire", "crosstalk.checks", "crosstalk.record")
    assert offences(("crosstalk.record",), lambda _, i: within(i, "crosstalk") and not within(i, *allowed)) == []


def test_doors_do_not_know_what_stands_above_them():
    allowed = (*DOORS, "crosstalk.record", "crosstalk.checks", "crosstalk.wire")
    assert offences(tuple(DOORS), lambda _, i: within(i, "crosstalk", "locust") and not within(i, *allowed)) == []


def test_judge_and_judged_share_nothing():
    backend = "crosstalk.backend"
    assert offences((backend,), lambda _, i: within(i, "crosstalk", *TOP_LEVEL) and not within(i, backend)) == []
    # a benchmark that renders frames as the backend does judges nothing
    others = tuple({name for name in sources() if not within(name, backend, "bench") and name})
    assert offences(others, lambda name, i: within(i, backend) and not within(name, backend)) == []


def test_no_module_imports_itself_by_way_of_others():
    graph = {name: _neighbours(name) for name in modules("crosstalk", "reports", "users")}
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        for following in graph.get(name, ()):
            if circle := walk(following, (*way, name)):
                return circle
        done.add(name)
        return []

    assert [circle for name in graph if (circle := walk(name, ()))] == []


def _neighbours(name: str) -> set[str]:
    """Project modules that importing `name` imports (its packages aside), at module level."""
    found = set()
    for imported in imports_of(sources()[name], package_of(name), module_level=True):
        target = imported if imported in sources() else imported.rpartition(".")[0]
        if target in sources() and target != name:
            found.add(target)
    return found


# --- pure rooms -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "packages"), [("crosstalk.wire", {"orjson"}), ("crosstalk.checks", {"orjson", "numpy"})]
)
def test_pure_rooms_import_the_standard_library_and_little_else_and_nothing_that_acts(room, packages):
    def wrong(_: str, imported: str) -> bool:
        top = imported.partition(".")[0]
        return top in EFFECTS or not (top in sys.stdlib_module_names or top in packages or top == "crosstalk")

    assert offences((room,), wrong) == []


def test_pure_rooms_open_no_file_ask_no_clock_and_print_nothing():
    calls = re.compile(r"(^|\.)(open|print|input|read_text|read_bytes|write_text|write_bytes|now|utcnow|today)$")
    found = [
        f"{name} calls {ast.unparse(node.func)}"
        for name, tree in modules("crosstalk.wire", "crosstalk.checks").items()
        for node in nodes(tree)
        if isinstance(node, ast.Call) and calls.search(ast.unparse(node.func))
    ]
    assert found == []


def test_pure_rooms_bring_neither_locust_nor_gevent_along():
    names = [name for name in modules("crosstalk.wire", "crosstalk.checks")]
    script = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
print(sorted({{name.partition(".")[0] for name in sys.modules}} & {{"locust", "gevent", "pyarrow", "requests"}}))
"""
    assert run_python(script) == "[]"


def run_python(script: str) -> str:
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# --- before the fork ------------------------------------------------------------------------------------------------


def test_nothing_that_starts_threads_is_imported_before_the_fork():
    """Numpy, pyarrow and matplotlib start threads, which a fork loses: functions import them where they are used."""
    scenarios = [name for name in sources() if within(name, "scenarios", "locustfile", "users")]
    way: dict[str, str] = {}
    waiting = [(name, "") for name in (*BEFORE_FORK, *scenarios)]
    found = []
    while waiting:
        name, importer = waiting.pop()
        if name in way:
            continue
        way[name] = importer
        parents = [name.rsplit(".", n)[0] for n in range(1, name.count(".") + 1)]
        waiting += [(parent, importer) for parent in parents if parent in sources()]
        for imported in imports_of(sources()[name], package_of(name), module_level=True):
            if imported.partition(".")[0] in HEAVY:
                found.append(f"{_way_to(name, way)} imports {imported}")
        waiting += [(following, name) for following in _neighbours(name)]
    assert "crosstalk.session" in way, "the walk did not reach the engine"
    assert found == []


def _way_to(name: str, way: dict[str, str]) -> str:
    steps = [name]
    while way.get(steps[0]):
        steps.insert(0, way[steps[0]])
    return " → ".join(steps)


def test_a_load_test_really_starts_without_them():
    script = f"""
import sys
import {", ".join(BEFORE_FORK)}
print(sorted({HEAVY!r} & sys.modules.keys()))
"""
    assert run_python(script) == "[]"


# --- one door per effect --------------------------------------------------------------------------------------------


def judges() -> dict[str, ast.Module]:
    """All but the reference backend, which is another program and has doors of its own."""
    rooms = ("crosstalk", "users", "reports", "scenarios", "locustfile")
    return {name: tree for name, tree in modules(*rooms).items() if not within(name, "crosstalk.backend")}


def uses(module: str, rooms: dict[str, ast.Module] | None = None) -> dict[str, set[str]]:
    """Who imports a module, and which of its attributes they use: {"crosstalk.clock": {"monotonic_ns", …}}."""
    found: dict[str, set[str]] = {}
    for name, tree in (rooms or judges()).items():
        imported = [one for one in imports_of(tree, package_of(name)) if within(one, module)]
        if not imported:
            continue
        used = {one.removeprefix(module + ".") for one in imported if one != module}
        called = {alias.asname or alias.name for node in nodes(tree) if isinstance(node, ast.Import)
                  for alias in node.names if alias.name == module}  # fmt: skip
        for node in nodes(tree):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) in called:
                used.add(node.attr)
        found[name] = used
    return found


def test_time_comes_from_the_clock():
    found = uses("time")
    assert found.pop("crosstalk.clock")
    assert {name: used for name, used in found.items() if used != {"strftime"}} == {}


def test_nobody_asks_the_calendar_for_now():
    found = [
        f"{name}: {ast.unparse(node)}"
        for name, tree in judges().items()
        for node in nodes(tree)
        if isinstance(node, ast.Call) and re.search(r"\bdate(time)?\.(now|utcnow|today)$", ast.unparse(node.func))
    ]
    assert found == []


def test_sockets_are_opened_by_the_stream_and_the_connection():
    allowed = {"crosstalk.stream", "crosstalk.connection", "crosstalk.ports"}  # ports: bound for a moment, never used
    plain = {name: used for name, used in uses("socket").items() if name not in allowed and used != {"gethostname"}}
    assert plain == {}
    assert set(uses("gevent.socket")) == {"crosstalk.stream"}
    assert set(uses("websocket")) == {"crosstalk.connection"}
    assert {**uses("aiohttp"), **uses("websockets"), **uses("asyncio"), **uses("socketserver")} == {}


def test_http_goes_through_the_http_client():
    assert set(uses("requests")) == {"crosstalk.http"}
    assert {**uses("urllib.request"), **uses("http.client"), **uses("urllib3"), **uses("httpx")} == {}


def test_settings_are_read_by_config():
    environ = {
        name
        for name, used in uses("os").items()
        if used & {"environ", "getenv", "environb"} and within(name, "crosstalk")
    }
    # the target's child inherits the environment; a tool may tell what in it is set in vain; whether compiled modules
    # are wanted must be known before any other module is imported
    allowed = SETTINGS | {"crosstalk.target", "crosstalk.compiled"}
    assert {name for name in environ if not within(name, "crosstalk.tools")} <= allowed
    assert set(uses("tomllib")) <= SETTINGS | {"crosstalk.checks.limits"}  # limits: text that was read before
    assert set(uses("csv")) <= SETTINGS
    # who else opens files: what is kept of a load test, and the log of the reference backend
    others = ("crosstalk.record", "crosstalk.load_test", "crosstalk.target", "crosstalk.tools", "reports")
    found = {
        name
        for name, tree in judges().items()
        for node in nodes(tree)
        if isinstance(node, ast.Call) and _opens_a_file(node) and not within(name, *others)
    }
    assert found
    # what the system tells of this process, under /proc; which sources the compiled modules were made of
    assert found <= SETTINGS | {"crosstalk.vitals", "crosstalk.compiled"}


def _opens_a_file(call: ast.Call) -> bool:
    """`open(…)`, `os.open(…)`, `path.open("…")`, `path.read_text(…)`: not the `open()` of a connection."""
    name = ast.unparse(call.func)
    with_mode = bool(call.args) and isinstance(call.args[0], ast.Constant)
    return name in ("open", "os.open") or name.endswith((".read_text", ".read_bytes")) or (
        name.endswith(".open") and with_mode
    )  # fmt: skip


def test_randomness_is_passed_in_with_its_seed():
    found = uses("random", modules("crosstalk", "users", "reports", "scenarios"))
    assert {name: used for name, used in found.items() if used - {"Random", "SystemRandom"}} == {}
    # a seed itself is drawn where settings are read, or where a load test begins: never in what runs under it
    below = ("crosstalk.checks", "crosstalk.wire", "crosstalk.record", *sorted(DOORS - SETTINGS))
    assert [name for name, used in found.items() if "SystemRandom" in used and within(name, *below, "users")] == []


# --- what files say -------------------------------------------------------------------------------------------------

TEXTS = {".py", ".c", ".md", ".toml", ".conf", ".cfg", ".txt", ".css", ".js", ".html", ".yml", ".yaml", ".sh", ""}
SKIPPED = {
    ".git",
    ".venv",
    "results",
    "build",
    "__pycache__",
    ".hypothesis",
    ".pytest_cache",
    ".ruff_cache",
    ".mypy_cache",
}


def product_files() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        parts = path.relative_to(ROOT).parts
        if path.is_file() and path.suffix in TEXTS and not SKIPPED & set(parts) and parts[0] != "tests":
            yield path


def test_no_file_speaks_of_where_it_was_made():
    wrong = re.compile(r"(?<![\w.])/(home|root|tmp)/\w|issue #", re.IGNORECASE)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in product_files()
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="ignore").splitlines(), 1)
        if wrong.search(line)
    ]
    assert found == []


def test_tests_do_not_sleep():
    """A sleep hides a race or wastes a second; one that must be says why beside it, after "# bounded:"."""
    found = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not (isinstance(node, ast.Call) and re.search(r"(^|\.)sleep$", ast.unparse(node.func))):
                continue
            if "# bounded:" not in lines[node.lineno - 1] + lines[node.lineno - 2]:
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}: {lines[node.lineno - 1].strip()}")
    assert found == []
