"""The page of traces: nothing in it runs or loads, everything is reached by links, and it says what the views say."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crosstalk.record.columns import columns_of
from reports import trace, trace_page
from reports.__main__ import main
from reports.markup import Html
from reports.material import Material
from reports.terminal_evidence import proof
from reports.trace_body import shown, value_at
from reports.trace_page import Budget, since_zero
from reports.trace_views import views
from tests.reports.records import make
from tests.reports.rows import HOSTILE, JWT, canary
from tests.reports.test_page import Balance
from tests.reports.trace_rows import (
    OWNER,
    VIOLATION,
    choice_of,
    frame,
    leak_frame,
    odd_tables,
    prompt,
    tables,
    violation,
)

#: what HTML may contain: the others are shown as U+FFFD
LETTERS = st.characters(exclude_categories=["Cs", "Cc", "Cn", "Co"])
FOCUSABLE = {"a", "summary"}


class Parts(HTMLParser):
    """What a person at a keyboard meets, and everything with an id."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[tuple[str, str]] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.articles: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given_ = dict(attrs)
        self.tags.add(tag)
        self.attributes |= set(given_)
        if tag in FOCUSABLE:
            self.stops.append((tag, str(given_.get("href") or "")))
        if tag == "article":
            self.articles.append(str(given_["id"]))


def parts_of(text: str) -> Parts:
    parts = Parts()
    parts.feed(text)
    return parts


def page_of(material: Material, budget: Budget | None = None, **changed: list[list[object]]) -> str:
    made = tables(**changed)
    return trace_page.page(material, views(made, choice_of(made)), totals={}, beside=Html(""), budget=budget)


@pytest.fixture(scope="module")
def text(leaking: Path) -> str:
    return (leaking / "trace.html").read_text(encoding="utf-8")


def test_it_is_well_formed_and_every_link_leads_somewhere(text: str) -> None:
    seen = Balance()
    seen.feed(text)
    assert seen.wrong == seen.open == []
    assert len(seen.ids) == len(set(seen.ids))
    assert {link.removeprefix("#") for link in seen.links} <= set(seen.ids)


def test_nothing_runs_and_nothing_is_loaded(text: str) -> None:
    parts = parts_of(text)
    assert not parts.tags & {"script", "iframe", "object", "embed", "link", "img", "base", "form", "input"}
    assert not {name for name in parts.attributes if name.startswith("on") or name in ("src", "srcdoc")}
    assert not re.search(r"https?://|@import|url\(", text)
    assert 'content="default-src &#x27;none&#x27;; style-src &#x27;unsafe-inline&#x27;"' in text
    assert "&lt;script&gt;alert(" in text  # what the target sent is there, as text
    assert JWT not in text


def test_the_keyboard_reaches_every_view_and_every_frame(text: str) -> None:
    parts = parts_of(text)
    assert len(parts.articles) >= 10
    links = [href for tag, href in parts.stops if tag == "a"]
    assert {f"#{name}" for name in parts.articles} <= set(links)
    assert parts.stops[0] == ("a", f"#{parts.articles[0]}")  # past the list
    assert ("a", "report.html") in parts.stops
    bodies = text.count("<pre") - text.count('<ol class="steps"')
    assert sum(tag == "summary" for tag, _ in parts.stops) >= bodies > 10
    assert 'tabindex="0"' not in text  # what can be reached is a link or opens: no other stop


def test_every_violation_of_the_report_opens_its_trace(leaking: Path, text: str) -> None:
    report = (leaking / "report.html").read_text(encoding="utf-8")
    links = set(re.findall(r'href="trace\.html#([^"]+)"', report))
    assert len(links) == 4
    assert links <= set(parts_of(text).articles)


def test_the_line_goes_from_the_planted_row_to_the_row_that_surfaced(material: Callable[..., Material]) -> None:
    made = page_of(material())
    article = made[made.index("<article") : made.index("</article>")]
    [(first, last)] = re.findall(r'class="line begin down" style="grid-row: (\d+) / (\d+)"', article)
    rows = dict(re.findall(rf'id="violation-{VIOLATION}-(\w+)" style="grid-row: (\d+);', article))
    assert rows == {"planted": first, "surfaced": last}
    assert int(first) < int(last)
    without = page_of(material(), runs=[], events=[], frames=[])
    assert 'class="line' not in without
    assert "owner&#x27;s frames are not in the record" in without


def test_the_field_is_marked_and_what_is_in_it(material: Callable[..., Material]) -> None:
    made = page_of(material())
    mark = f'<mark class="theirs">{canary(OWNER, 1)}</mark>'
    assert f'<b class="field">&quot;chunk&quot;: &quot;so {mark} it is&quot;,</b>' in made
    assert f"<code>data.chunk</code>: <q>so {mark} it is</q>" in made
    assert f"<code>payload.user_request</code>: <q>Repeat {mark}</q>" in made


def test_a_decoded_canary_is_shown_step_by_step(material: Callable[..., Material]) -> None:
    import base64

    hidden = base64.b64encode(f"x {canary(OWNER, 1)}"[::-1].encode()).decode()
    body = leak_frame(f"see {hidden}")
    made = page_of(material(), violations=[violation(decode="base64+reversed", frame=body)], frames=[])
    steps = made[made.index('<ol class="steps">') :]
    steps = steps[: steps.index("</ol>")]
    assert [re.sub("<.*?>", "", one) for one in re.findall(r"<li>(.*?)</li>", steps)] == [
        f"As found at data.chunksee {hidden}",
        f"base64{canary(OWNER, 1)[::-1]} x",
        f"reversed: read backwardsx {canary(OWNER, 1)}",
    ]
    assert f"<code>data.chunk</code>: <q>see {hidden}</q>" in page_of(
        material(), violations=[violation(decode="base64+reversed", frame=body, field="(frame)")], frames=[]
    )
    other = page_of(material(), violations=[violation(decode="base64+reversed")], frames=[])
    assert "could not be done again" in other


def test_what_is_no_frame_of_events_is_shown_as_it_came(material: Callable[..., Material]) -> None:
    said = f"so long {canary(OWNER, 1)}"
    seen = violation(run="", frame=said, event_kind="close", field="close reason", channel=21)
    shown_as = f'<code>close reason</code>: <q>so long <mark class="theirs">{canary(OWNER, 1)}</mark></q>'
    assert shown_as in page_of(material(), violations=[seen])


def test_the_same_record_gives_the_same_bytes(material: Callable[..., Material]) -> None:
    assert page_of(material()) == page_of(material())


def test_a_page_that_is_full_keeps_what_matters(material: Callable[..., Material]) -> None:
    made = page_of(material(), budget=Budget(0))
    violation_only = made[: made.index("</article>")]
    assert violation_only.count("<pre>") == 2  # planted and surfaced
    assert f"python -m reports trace {VIOLATION}" in made
    whole = page_of(material())
    assert whole[: whole.index("</article>")].count("<pre>") == 5


def test_the_size_is_bounded(material: Callable[..., Material]) -> None:
    """400 violations, each with its owner's 120 frames of 4 KiB: far more than a page may hold."""
    body = '{"text":"' + "x" * 4000 + '"}'
    frames = [frame(OWNER, n, body) for n in range(120)] + [frame(OWNER, 0, prompt(OWNER), direction="out")]
    violations = [violation(violation=f"v{n}") for n in range(400)]
    made = page_of(material(), violations=violations, frames=frames)
    assert len(made) < 12_000_000
    assert made.count("<article") == 52  # and the two runs


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=80), st.sampled_from(["", "data.chunk", "a", "(frame)", "x[0]"]), st.sets(st.text(max_size=5)))
def test_no_text_becomes_markup(body: str, field: str, theirs: set[str]) -> None:
    for text in (body, json.dumps({"data": {"chunk": body}})):
        said = shown(text, field=field, theirs=theirs, own=())
        assert "<" not in re.sub(r'</?mark(?: class="theirs")?>|</?b(?: class="field")?>', "", said)


@settings(max_examples=30, deadline=None)
@given(odd_tables())
def test_odd_rows_make_a_page_that_is_well_formed(
    material: Callable[..., Material], rows: dict[str, list[tuple[object, ...]]]
) -> None:
    made = {name: columns_of(name, listed) for name, listed in rows.items()}
    choice = choice_of(made)
    if choice:
        seen = Balance()
        seen.feed(trace_page.page(material(), views(made, choice), totals={}, beside=Html("")))
        assert seen.wrong == seen.open == []
        assert len(seen.ids) == len(set(seen.ids))
        assert {link.removeprefix("#") for link in seen.links} <= set(seen.ids)


def test_no_token_is_shown_whatever_a_frame_is() -> None:
    for body in (JWT, json.dumps({"a": [JWT], "token": "opaque-but-secret"})):
        said = shown(body, field="", theirs=(), own=())
        assert JWT[:30] not in said
        assert "opaque-but-secret" not in said
        assert "[token removed]" in said


def test_the_longest_silence_fills_its_room_and_what_is_not_shown_is_counted(material: Callable[..., Material]) -> None:
    made = tables()
    text = trace_page.page(material(), views(made, choice_of(made)), totals={"violation": 400}, beside=Html(""))
    article = text[text.index("<article") : text.index("</article>")]
    widths = [int(width) for width in re.findall(r'style="width: (\d+)%"', article)]
    assert widths == [1, 43, 100]  # 4, 129 and 300 ms
    assert "Violations (1 of 400)" in text
    assert "Violations (1)" in page_of(material())


def test_on_the_terminal_a_violation_without_a_frame_says_so(material: Callable[..., Material]) -> None:
    said = proof(material(missing=True), colour=False)
    assert "no single frame shows it" in said
    assert "reproduce" not in said  # only a leak can be driven again
    assert "received," in proof(material(leak=True), colour=False)


def test_a_body_with_the_end_of_a_script_is_text(material: Callable[..., Material]) -> None:
    made = page_of(material(), violations=[violation(frame=leak_frame(HOSTILE + "</pre></article>"))], frames=[])
    assert "</script>" not in made
    assert "&lt;/pre&gt;&lt;/article&gt;" in made
    assert made.count("</article>") == made.count("<article")


@given(
    st.recursive(
        st.text(LETTERS, max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(LETTERS, max_size=4), inner, max_size=3),
    )
)
def test_a_laid_out_frame_says_the_same(document: object) -> None:
    import html

    text = json.dumps(document)
    said = html.unescape(shown(text, field="", theirs=(), own=()))
    assert json.loads(said) == document


def test_a_frame_that_nests_deeply_is_shown_as_it_came() -> None:
    deep = "[" * 5000 + "]" * 5000
    assert shown(deep, field="", theirs=(), own=()) == deep
    assert value_at(deep, "x") is None
    inside = '{"a": ' * 45 + "1" + "}" * 45
    assert shown(inside, field="", theirs=(), own=()) == inside.replace('"', "&quot;")


def test_values_by_path() -> None:
    assert value_at(leak_frame("here"), "data.chunk") == "here"
    assert value_at(leak_frame(), "data.at[1].n") == "2"
    assert value_at(leak_frame(), "data.chunk.{key}") == "chunk"
    assert value_at(leak_frame(), "data.gone") is None
    assert value_at("no json", "data") is None


def test_the_clock() -> None:
    assert since_zero(127_340_000) == "+127.3\u202fms"
    assert since_zero(-1_499_950_000) == "−1\u202f500.0\u202fms"
    assert since_zero(-1) == "+0.0\u202fms"


# --- the command ----------------------------------------------------------------------------------------------------


def test_a_trace_for_one_chosen_thing(leaking: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evidence", str(leaking)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"\ntrace +\S+/trace\.html#violation-", said)
    assert re.search(r"\nnext +python -m reports reproduce \S+ ", said)
    [name] = re.findall(r"\n +python -m reports trace (\S+) ", said)
    assert main(["trace", name, str(leaking)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert parts_of(path.read_text(encoding="utf-8")).articles == [f"violation-{name}"]
    path.unlink()


def test_a_run_by_a_part_of_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "one", users=2, runs_per_user=2)
    run = "run-" + trace_run(folder)
    assert main(["trace", run[4:], str(folder)]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert run in path.read_text(encoding="utf-8")
    assert main(["trace", "run-", str(folder)]) == 2
    assert "part of several names" in capsys.readouterr().err
    assert main(["trace", "nobody", str(folder)]) == 2
    assert "no violation and no run is called 'nobody'" in capsys.readouterr().err


def trace_run(folder: Path) -> str:
    from reports.material import open_record

    return str(open_record(folder).table("runs")["run"][0]).removeprefix("run-")


def test_no_page_where_there_is_nothing_to_show(tmp_path: Path, material: Callable[..., Material]) -> None:
    from reports.build import build

    folder = make(tmp_path / "empty", users=0)
    assert build(folder) == []
    assert not (folder / "trace.html").exists()
    assert "trace.html" not in (folder / "report.html").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="neither a violation nor a run"):
        trace.trace(material(users=0))
