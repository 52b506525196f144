"""The report stands alone, says everything, and gives nothing away."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lab.core.analysis.verdicts import WORDS
from lab.core.report import words
from lab.core.report.claimed import sentences
from lab.core.report.page import Page, write_report
from lab.core.report.plot import draw_all
from lab.core.report.privacy import is_private, scrub
from lab.core.report.section import address, day, duration, facts
from lab.core.report.series import points

from .conftest import COLUMNS, claim

VOID = {"meta", "br", "img", "input", "hr", "link", "path", "use", "rect", "circle"}
RUN = {
    "id": "k3vd", "started": "2026-11-22T20:42:00+00:00", "seconds": 251, "preset": "full", "label": "",
    "status": "done", "command": "lab run softmax -s 'columns=1000,2000' --results /home/alice/results",
}  # fmt: skip
MACHINE = {
    "device": "cpu", "cpu": "A processor", "threads": 1, "memory": 8e9, "hostname": "alices-laptop",
    "packages": {"torch": "2.13.0", "paperlab": "0.1.0"}, "patch": "- secret", "gpus": None,
    "note": "started in /home/alice/work",
}  # fmt: skip


class Reader(HTMLParser):
    """What a browser would see: elements with their attributes, and whether every one is closed in its turn."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


DRAWN: dict[str, Path] = {}
"""Where the plots of an experiment were drawn last: the same ones are copied from there."""


def page(analysed: Any, folder: Path, **changes: Any) -> Page:
    folder = folder / analysed.experiment.name
    before = DRAWN.get(analysed.experiment.name)
    plots = draw_all(
        analysed.experiment, analysed.comparison, analysed.verdicts, analysed.curves, folder, before
    )
    DRAWN[analysed.experiment.name] = folder
    fixed: dict[str, Any] = {
        "experiment": analysed.experiment, "run": RUN, "environment": MACHINE, "comparison": analysed.comparison,
        "verdicts": analysed.verdicts, "summary": "First.\nSecond.", "plots": plots, "warnings": ["busy: noisier"],
    }  # fmt: skip
    return Page(**(fixed | changes))


@pytest.fixture(scope="module")
def written(
    timed: Any, trained: Any, make_timed: Callable[..., Any], tmp_path_factory: Any
) -> tuple[str, str, Path]:
    folder = tmp_path_factory.mktemp("report")
    quick = make_timed(repeats_done=2)
    pages = [
        page(timed, folder),
        page(trained, folder),
        page(quick, folder, plots=[], run=RUN | {"id": "zzzz"}),
    ]
    html, markdown = write_report(pages, folder)
    return html.read_text(), markdown.read_text(), folder


def test_the_html_is_whole_and_needs_no_network(written: tuple[str, str, Path]) -> None:
    reader = Reader(written[0])
    assert not reader.open
    for tag, attributes in reader.elements:
        assert tag not in ("link", "iframe", "object", "img", "base")
        assert not attributes.get("src")
        for name in ("href", "xlink:href"):
            target = attributes.get(name) or "#"
            assert target.startswith(("#", "data:")) or (
                tag == "a" and target.startswith("https://arxiv.org/")
            )
    style = re.search(r"<style>(.*?)</style>", written[0], re.DOTALL)
    assert style and "@import" not in style[1] and "url(" not in style[1]


def test_no_id_is_used_twice_and_every_reference_has_its_id(written: tuple[str, str, Path]) -> None:
    html = written[0]
    ids = Counter(attributes["id"] for _, attributes in Reader(html).elements if attributes.get("id"))
    assert [name for name, number in ids.items() if number > 1] == []
    assert set(re.findall(r"""(?:href="|url\()#([^")]+)""", html)) <= set(ids)


def test_plots_take_the_colour_of_the_page(written: tuple[str, str, Path]) -> None:
    drawings = re.findall(r"<svg.*?</svg>", written[0], re.DOTALL)
    assert len(drawings) == 4
    for drawing in drawings:
        assert "currentColor" in drawing and "#1c2126" not in drawing and "<style" not in drawing
        assert re.search(r'role="img" aria-label="[^"]+" viewBox=', drawing)


def test_every_verdict_and_its_reasons_are_said(written: tuple[str, str, Path], timed: Any) -> None:
    said = Reader(written[0]).words
    assert {v.word for v in timed.verdicts} == {"holds", "fails here", "unclear", "not tested", "faster*"}
    for verdict in timed.verdicts:
        for text in (
            verdict.word,
            verdict.says,
            verdict.here,
            verdict.detail,
            verdict.expected,
            *verdict.differences,
        ):
            assert text in said
        assert verdict.word.replace("*", r"\*") in written[1]
    assert "1 holds, 1 fails here, 1 unclear, 1 other device, 1 not tested" in said
    assert "preview" in said and "0.8x" in said and "§3" in said and "up to 1.3x" in said


def test_every_verdict_word_has_a_mark() -> None:
    assert {words.family(word) for word in WORDS} == set(words.MARKS)
    signs = [mark.sign for mark in words.MARKS.values()]
    assert len(set(signs)) == len(signs)


def test_what_is_not_trained_enough_has_its_figure_its_reason_and_its_need(
    make_timed: Callable[..., Any], tmp_path: Path
) -> None:
    time = {"ratio": "time", "of": "online", "over": "safe", "where": {"columns": 32000}}
    needs = {"metric": "accesses", "at_most": 3, "where": {"columns": 1000}}
    made = make_timed(claims=[claim("beaten", time, {"at_most": 0.5}, paper=0.8, needs=needs)])
    (verdict,) = made.verdicts
    html, markdown = write_report([page(made, tmp_path, plots=[])], tmp_path)
    said = Reader(html.read_text()).words
    reason = "accesses of safe is 4 at columns=1000, above 3: train it longer"
    assert verdict.word == "not trained enough" and verdict.detail == reason and verdict.here
    for text in (f"○ not trained enough {reason}", verdict.here, "needs accesses at most 3 at columns=1000"):
        assert text in said, text
    assert "1 tried: 1 not trained enough" in said and "false by chance" not in said
    assert re.search(r'<a class="untrained" href="#softmax-claim-beaten"[^>]*>○</a>', html.read_text())
    (row,) = (
        line for line in markdown.read_text().splitlines() if line.startswith("| T | What beaten says.")
    )
    assert (
        f"| {verdict.here} | not trained enough | at most 0.5, us; needs accesses at most 3"
        in row.replace("\\", "")
    )
    assert reason in markdown.read_text().replace("\\", "")
    (plot,) = (one for one in made.experiment.plots if one.y == "time")
    drawn = points(plot, made.experiment, made.comparison)
    (line,) = sentences(plot, made.experiment, drawn, made.verdicts)
    assert line.endswith(f"; here {verdict.here}, not trained enough")


def test_all_else_that_a_reader_needs(written: tuple[str, str, Path]) -> None:
    said = Reader(written[0]).words
    for text in (
        "What does it cost?", "A paper", "First.", "Second.", "busy: noisier", "22 Nov 2026, 20:42 UTC", "4 min 11 s",
        "wrong : first row: error 0.5, allowed 1e-7", "refused : needs a GPU", "reference", "compared with safe",
        "lab run softmax -s 'columns=1000,2000'", "A processor · CPU · 1 thread · torch 2.13.0", "run zzzz",
    ):  # fmt: skip
        assert text in said, text


def test_nothing_private(written: tuple[str, str, Path]) -> None:
    for text in written[:2]:
        for secret in ("/home/", "alice", "secret", str(Path.home()) + "/"):
            assert secret not in text.replace("~/results", "")
    assert "~/results" in written[0] and "~/results" in written[1]


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("see /home/ann/x.py", "see ~/x.py"),
        ("/Users/ann", "~"),
        (r"C:\Users\ann\x", r"~\x"),
        ("/root/x", "~/x"),
        ("a/root/b and /rooted", "a~/b and /rooted"),
        ("/homework", "/homework"),
    ],
)
def test_home_folders_are_written_as_a_tilde(text: str, clean: str) -> None:
    assert scrub(text) == clean


def test_private_facts_are_left_out() -> None:
    assert [is_private(key) for key in ("hostname", "user", "home", "patch", "cpu", "numa_nodes")] == [
        True
    ] * 4 + [False] * 2
    assert facts(MACHINE)[3:5] == [("memory", "8 GB"), ("packages", "torch 2.13.0, paperlab 0.1.0")]


def test_markup_in_names_stays_text(make_timed: Callable[..., Any], tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    analysed = make_timed(
        question=f"Is {evil} a question?",
        title=evil,
        sources={"someone2018": {"title": evil, "ref": "javascript:alert(1)"}},
        variants={"safe": {}, "online": {}, "mine": {}, evil: {}},
    )
    comparison = analysed.comparison.copy()
    comparison.loc[comparison["variant"] == "mine", "reason"] = evil + "|\n# no heading"
    run = RUN | {"command": f"lab run {evil}", "label": evil}
    html, markdown = write_report(
        [
            page(
                analysed,
                tmp_path,
                comparison=comparison,
                run=run,
                summary=evil,
                warnings=[evil],
                environment={"cpu": evil},
            )
        ],
        tmp_path,
    )
    reader = Reader(html.read_text())
    assert [tag for tag, _ in reader.elements].count("script") == 1  # ours
    assert evil in reader.words
    assert not any(str(a.get("href", "")).startswith("javascript") for _, a in reader.elements)
    outside = re.sub(r"```.*?```", "", markdown.read_text(), flags=re.DOTALL)
    assert "<script>" not in outside and "\n# no heading" not in outside


EVIL = "a|b*c*_d_`e`[f](g)<h>#i~j~\\k{l}&amp;$m$!"
LINES = [
    "1. one",
    "2) two",
    "- three",
    "+ four",
    "# five",
    "> six",
    "=",
    "---",
    "```",
    "a\rb",
    "-0.3 [-0.4, -0.2]",
]


def cells_of(markdown: str) -> set[str]:
    """What a reader of the rendered page sees: the text of every table's cell and of every paragraph."""
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(markdown)
    return {
        "".join(part.content for part in token.children or () if part.type == "text")
        for token in tokens
        if token.type == "inline"
    }


def test_no_sign_in_a_name_means_anything_in_markdown(make_timed: Callable[..., Any], tmp_path: Path) -> None:
    analysed = make_timed(
        variants={"safe": {}, "online": {}, "mine": {}, EVIL: {}},
        question=EVIL,
        title=EVIL,
        sources={"someone2018": {"title": EVIL}},
    )
    summary = "\n".join(LINES)
    _, markdown = write_report([page(analysed, tmp_path, summary=summary, warnings=[EVIL, *LINES])], tmp_path)
    read = cells_of(markdown.read_text())
    assert EVIL in read, "as the heading, and as the first cell of its rows"
    lines = markdown.read_text().splitlines()
    rows = [line for line in lines if line.startswith("|") and ("amp" in line or "| variant |" in line)]
    assert len(rows) == 1 + len(COLUMNS) and len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert {*LINES} - {"a\rb"} <= read, "as the lines of the summary"
    assert {f"With care: {line}".replace("\r", " ") for line in LINES} <= read


def test_a_sample_stays_in_its_block_whatever_ends_its_lines(trained: Any, tmp_path: Path) -> None:
    from markdown_it import MarkdownIt

    text = "one\ntwo\r\r# three\r\n\r\n```\r<b>four</b>\x1b[31m"
    _, markdown = write_report([page(trained, tmp_path, samples={"reward": [(3, text)]})], tmp_path)
    tokens = MarkdownIt("commonmark").parse(markdown.read_bytes().decode())
    block = next(token.content for token in tokens if token.type == "code_block")
    assert block.split("\n")[:7] == ["one", "two", "", "# three", "", "```", "<b>four</b>␛[31m"]
    assert not any("four" in token.content for token in tokens if token.type != "code_block")


def test_a_title_may_hold_what_means_something_in_a_replacement(
    make_timed: Callable[..., Any], tmp_path: Path
) -> None:
    title = r"Loss in \Delta \1 \g<0>"
    analysed = make_timed(plots=[{"x": "columns", "y": "time", "title": title}])
    html, _ = write_report([page(analysed, tmp_path)], tmp_path)
    labels = [
        attributes.get("aria-label") for tag, attributes in Reader(html.read_text()).elements if tag == "svg"
    ]
    assert labels == [title]


def test_home_folders_and_secrets_are_nowhere_in_a_report(
    make_timed: Callable[..., Any], tmp_path: Path
) -> None:
    home = "/home/alice/a/rather/long/path/that/has/to/be/broken/model.gguf"
    token = "hf_abcdefghijklmnop"
    analysed = make_timed(
        variants={"safe": {}, "online": {}, home: {}},
        claims=[],
        plots=[
            {"x": "columns", "y": "time", "title": f"Time of {home} {token}"},
            {"x": "variant", "y": "accesses"},
        ],
    )
    command = f"lab run softmax -s api_key=abc123 --token 'de f' -s model={home} -s x={token} -s hub=https://me:pw@host/x"
    run = RUN | {"command": command, "label": token}
    files = write_report([page(analysed, tmp_path, run=run, samples={"safe": [(0, home)]})], tmp_path)
    html = files[0].read_text()
    inside = [
        base64.b64decode(part).decode("utf-8", "replace") for part in re.findall(r"base64,([\w+/=]+)", html)
    ]
    assert len(inside) >= 4
    for text in [html, files[1].read_text(), *inside]:
        # Letters may stand one by one, with markup between: what is drawn is compared without it.
        bare = re.sub(r"<[^>]*>|\s", "", text)
        for secret in ("alice", "abcdefghijkl", "abc123", "def", "me:pw"):
            where = (
                bare.replace("default", "").replace("defs", "").replace("undefined", "")
                if secret == "def"
                else bare
            )
            assert secret not in where, (secret, where[max(0, where.index(secret) - 200) :][:400])
    assert "api_key=*** --token *** -s model=~/a/rather" in Reader(html).words


def test_the_page_allows_its_own_script_and_nothing_else(written: tuple[str, str, Path]) -> None:
    html = written[0]
    policy = next(
        a["content"] for tag, a in Reader(html).elements if a.get("http-equiv") == "Content-Security-Policy"
    )
    rules = dict(rule.split(maxsplit=1) for rule in str(policy).split("; "))
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert script and rules["default-src"] == "'none'"
    digest = base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"
    assert html.index("Content-Security-Policy") < html.index("<style>")
    assert not any(name.startswith("on") for _, attributes in Reader(html).elements for name in attributes)


def test_tables_have_scopes_and_terms(written: tuple[str, str, Path]) -> None:
    elements = Reader(written[0]).elements
    assert all(
        attributes.get("scope") in ("col", "row", "rowgroup") for tag, attributes in elements if tag == "th"
    )
    titles = {attributes.get("title") for tag, attributes in elements if tag == "abbr"}
    assert {words.TERMS[term] for term in ("interval", "tier", "~", "best", "threshold")} <= titles
    assert all(
        any(words.TERMS[kind] in str(title) for title in titles) for kind in ("counted", "timed", "trained")
    )


def test_the_table_can_be_taken_along(written: tuple[str, str, Path], timed: Any) -> None:
    link = next(a for _, a in Reader(written[0]).elements if a.get("download") == "softmax-1-comparison.csv")
    table = pd.read_csv(io.BytesIO(base64.b64decode(str(link["href"]).partition(",")[2])))
    whole = timed.comparison
    kept = whole[whole["estimate"].notna() | (whole["status"] == "wrong")]
    assert list(table["variant"]) == list(kept["variant"]) and set(kept["variant"]) == {
        "loop",
        "safe",
        "online",
        "mine",
    }
    assert table["estimate"].dropna().tolist() == pytest.approx(
        timed.comparison["estimate"].dropna().tolist()
    )


def test_markdown_tables_have_as_many_cells_as_heads(written: tuple[str, str, Path]) -> None:
    width = 0
    for line in written[1].splitlines():
        if not line.startswith("|"):
            width = 0
            continue
        cells = len(re.findall(r"(?<!\\)\|", line))
        assert width in (0, cells), line
        width = cells
    assert "![" in written[1] and "](softmax/time-by-columns.png)" in written[1]


def test_both_files_are_replaced_and_nothing_else_is_left(timed: Any, tmp_path: Path) -> None:
    for _ in range(2):
        write_report([page(timed, tmp_path)], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md", "softmax"]


def test_a_page_without_anything_in_it(timed: Any, tmp_path: Path) -> None:
    empty = page(
        timed, tmp_path, run={}, environment={}, comparison=timed.comparison.iloc[:0], verdicts=[], summary="",
        plots=[], warnings=[],
    )  # fmt: skip
    for pages in ([empty], []):
        html, _ = write_report(pages, tmp_path)
        assert not Reader(html.read_text()).open


def test_plots_elsewhere_are_not_linked_from_markdown(timed: Any, tmp_path: Path) -> None:
    _, markdown = write_report([page(timed, tmp_path / "elsewhere")], tmp_path / "here")
    assert "![" not in markdown.read_text() and str(tmp_path) not in markdown.read_text()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out(theme: str) -> None:
    css = (Path(words.__file__).parent / "report.css").read_text()
    block = css[css.index(":root {") :] if theme == "light" else css[css.index(':root[data-theme="dark"]') :]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{3,6});", block[: block.index("}")]))
    for name in ("ink", "muted", "link", "holds", "fails", "unclear", "elsewhere", "preview", "untested"):
        for ground in ("ground", "raised"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def contrast(a: str, b: str) -> float:
    bright, dim = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(c + c for c in colour[1:])
    parts = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_small_words() -> None:
    assert address("arXiv:1805.02867") == "https://arxiv.org/abs/1805.02867"
    assert address("10.1093/x") == address("doi:10.1093/x") == "https://doi.org/10.1093/x"
    assert address("javascript:alert(1)") == address("a book") == ""
    assert [duration(s) for s in (42, 250, 7500)] == ["42 s", "4 min 10 s", "2 h 5 min"]
    assert day("2026-11-02T08:05:00Z") == "2 Nov 2026, 08:05 UTC" and day("whenever") == "whenever"
    assert words.section("a2018, §5, V100") == "§5, V100" and words.section("ours") == ""


def test_one_problem_stands_there_as_each_variant_answers_it_at_the_end(trained: Any, tmp_path: Path) -> None:
    samples = {
        "reward": [
            (0, "3+4= <answer>9</answer>  wrong"),
            (5, "3+4= <b>7</b>  right"),
            (5, "1+1= rewards 1 0"),
        ],
        "random": [(0, "3+4= ?  the last digit: 7"), (5, "3+4= 8  wrong"), (9, "5+5= 0  right")],
    }
    html, markdown = (
        path.read_text() for path in write_report([page(trained, tmp_path, samples=samples)], tmp_path)
    )
    assert "it at the end: 3+4=" in markdown
    rows = [
        line.split("|")[1:-1] for line in markdown.splitlines() if line.endswith(("| right |", "| wrong |"))
    ]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["reward", r"&lt;b\>7&lt;/b\>", "right"],
        ["random", "8", "wrong"],
    ]
    assert '<td class="right">right</td><td><code>&lt;b&gt;7&lt;/b&gt;</code>' in html
    alone = write_report([page(trained, tmp_path, samples={"reward": samples["reward"]})], tmp_path)
    assert all("as each variant answers it" not in path.read_text() for path in alone)
