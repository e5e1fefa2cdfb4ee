"""`python -m crosstalk.tools.new_dialect NAME --url … --send …`: says a few prompts to a backend, writes its dialect.

Writes NAME.py with what could be told, places to fill in marked `# FILL IN:`; the recorded frames beside it, without
tokens; and a test that feeds them to `decode`. Exit code: 0 written, 2 a mistake in the options, 5 target not ready.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crosstalk.accounts import claims_of
from crosstalk.config import Account, ConfigError, Settings, load_settings
from crosstalk.session import NotReady
from crosstalk.tools.check_dialect_live import Rows, make_generator, one_person, option_parser
from crosstalk.tools.new_dialect_guess import guess
from crosstalk.tools.new_dialect_record import Unknown, Wanted, frames_file, record
from crosstalk.tools.new_dialect_seen import Recording, split_call
from crosstalk.tools.new_dialect_write import dialect_source, places, test_source
from crosstalk.wire.event import Kind
from crosstalk.wire.redact import redact

EXIT_WRITTEN, EXIT_USAGE, EXIT_NOT_READY = 0, 2, 5
#: how --token-env travels through the reader of settings, which alone looks at environment variables
_TOKEN = "--token-env"


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    try:
        files = _files(Path(options.out or f"{options.name}.py"))
        recording, secrets = _recorded(options)
        _write(files, recording, secrets, options)
    except ConfigError as problem:
        print(f"new_dialect: {problem}", file=sys.stderr)
        return EXIT_USAGE
    except NotReady as problem:
        print(f"new_dialect: target not ready: {problem}", file=sys.stderr)
        return EXIT_NOT_READY
    return EXIT_WRITTEN


def _recorded(options: Any) -> tuple[Recording, list[str]]:
    settings = _settings(options)
    if not options.send and not options.create:
        raise ConfigError('expected --send or --create, what starts a run: --send \'{"text": "{prompt}"}\', say')
    if options.create:
        try:
            split_call(options.create)
        except ValueError as error:
            raise ConfigError(f"--create: {error}") from None
    wanted = Wanted(
        url=options.url, send=options.send, create=options.create, transport=settings.transport,
        quiet_s=options.quiet, headers=settings.headers, route=settings.route,
        timeout_s=settings.environment.connect_timeout_s,
    )  # fmt: skip
    generator = make_generator(settings, options.host, Rows())
    try:
        person = one_person(generator)
        token = generator.token(person)
        prompts = options.prompt or [texts[0].text for texts in list(settings.prompts.families.values())[:4]]
        recording = record(wanted, generator, person, prompts)
        health = next((p for p in ("/health", "/healthz") if generator.http.call("GET", p).status == 200), "")
    finally:
        generator.finish()
    return replace(recording, health_path=health), [token]


def _settings(options: Any) -> Settings:
    """Settings as a load test reads them; with --token-env, of one account that has this token."""
    options.dialect = "netra"  # one must be named; it is replaced at once
    parts = urlsplit(options.url)
    options.host = f"{parts.scheme}://{parts.netloc}"
    if options.token_env:
        options.header = [*options.header, f"{_TOKEN}={options.token_env}"]
    settings = load_settings(options)
    headers = dict(settings.headers)
    if token := headers.pop(_TOKEN, ""):
        account = Account(name=str(claims_of(token).get("sub") or "") or "the token's user", token=token)
        settings = replace(settings, accounts=(account,), headers=headers)
    return replace(settings, dialect=Unknown(), dialect_name="unknown")


def _files(out: Path) -> tuple[Path, Path, Path]:
    files = (out, out.with_name(f"{out.stem}.frames.jsonl"), out.with_name(f"test_{out.stem}.py"))
    for file in files:
        if file.exists():
            raise ConfigError(f"{file} is there already; remove it, or name another with --out FILE")
    if out.suffix != ".py" or not out.parent.is_dir():
        raise ConfigError(f"--out {out}: expected a Python file in a folder that is there")
    return files


def _write(files: tuple[Path, Path, Path], recording: Recording, secrets: list[str], options: Any) -> None:
    class_name = _class_name(options.name)
    found = guess(recording)
    source = dialect_source(found, class_name)
    dialect, frames, test = files
    dialect.write_text(source, encoding="utf-8")
    frames.write_text(frames_file(recording, secrets=secrets), encoding="utf-8")
    test.write_text(test_source(found, class_name, stem=dialect.stem, source=source), encoding="utf-8")
    count = sum(len(exchange.frames) for exchange in recording.exchanges)
    print(f"recorded: {count} frames in {len(recording.exchanges)} exchanges; {len(recording.before)} before the first")
    for name, meaning in found.kinds.items():
        print(f"  {name:<32} {meaning.kind:<16} {meaning.why}{'' if meaning.sure else ' (to be looked at)'}")
    if not any(meaning.kind is Kind.CHUNK for meaning in found.kinds.values()):
        first = redact(recording.exchanges[0].frames[0][1].decode(errors="replace"))[:200]
        print(f"note: no answer was recognised; does the target understand --send? The first that came back: {first}")
    print(f"written: {dialect}, {frames.name}, {test.name}")
    for text in places(source):
        print(f"fill in: {text}")
    print(f"next: python -m crosstalk.tools.check_dialect --dialect {dialect}:{class_name} --host {options.host}")


def _class_name(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))


def _parse(arguments: Sequence[str] | None) -> Any:
    parser = option_parser("crosstalk.tools.new_dialect", __doc__ or "")
    add = parser.add_argument
    add("name", metavar="NAME", help="what the dialect is called, such as my_backend")
    add("--url", required=True, metavar="URL", help="the socket, ws(s)://host/path; its path may have placeholders")
    add("--token-env", default="", metavar="VAR", help="environment variable with a token; else as in a load test")
    add("--send", default="", metavar="TEXT", help="the frame that starts a run, with {prompt} {thread_id} {run_id}")
    add("--create", default="", metavar="CALL", help='the HTTP call before it: "POST /path {json}"')
    add("--prompt", action="append", default=[], metavar="TEXT", help="what to say; else one of each of four families")
    add("--quiet", type=float, default=1.5, metavar="S", help="a silence that ends an exchange (default 1.5)")
    add("--out", default="", metavar="FILE", help="the file to write (default NAME.py)")
    options = parser.parse_args(arguments)
    if not options.name.replace("-", "_").isidentifier():
        parser.error(f"NAME {options.name!r}: expected letters, digits and _")
    if urlsplit(options.url).scheme not in ("ws", "wss"):
        parser.error(f"--url {options.url!r}: expected ws:// or wss://, a host and a path")
    return options


if __name__ == "__main__":
    sys.exit(main())
