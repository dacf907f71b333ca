"""`python -m bench report`: well-formed, complete, honest about gaps, and opened in a browser."""

import math
import re
import shutil
import struct
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import benchmark_runs as runs
import pytest
from bench import ratios, report, results, units
from bench.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
SECTIONS = ("speed", "roofline", "scaling", "training", "start", "numbers")
VOID = {"meta", "link", "br", "hr", "img"}


class Page(HTMLParser):
    """Checks that tags are closed in order; keeps identities, references and pictures."""

    def __init__(self, text):
        super().__init__()
        self.open, self.identities, self.references, self.pictures = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        self.note(tag, dict(attributes))

    def handle_startendtag(self, tag, attributes):
        self.note(tag, dict(attributes))

    def note(self, tag, found):
        if "id" in found:
            self.identities.append(found["id"])
        self.references += [v for k, v in found.items() if k in ("href", "src")]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(map(str, found.values())))
        if tag == "svg":
            self.pictures.append(found)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


def read(tmp_path, content):
    return results.read(runs.written(tmp_path, content))


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The page of a run of true scale, and its headline."""
    folder = tmp_path_factory.mktemp("report")
    path = runs.written(folder, runs.full_run())
    assert main(["report", str(path), "--png", str(folder / "head.png")]) == 0
    return folder


@pytest.fixture(scope="module")
def text(full):
    return (full / "run.html").read_text()


def test_the_page_is_well_formed_and_stands_alone(text):
    page = Page(text)
    assert [i for i in page.identities if i in SECTIONS] == list(SECTIONS)
    assert len(set(page.identities)) == len(page.identities)
    assert {r for r in page.references if not r.startswith("#")} == set()
    assert {r[1:] for r in page.references} <= set(page.identities)
    assert "://" not in text and "<script" not in text
    assert len(text) < 2_500_000


def test_pictures_have_messages_and_both_schemes(text):
    pictures = Page(text).pictures
    assert len(pictures) > 40
    for picture in pictures:
        assert picture["role"] == "img" and len(picture["aria-label"]) > 30
    drawn = re.findall(r"<svg.*?</svg>", text, re.S)
    left = {c for svg in drawn for c in re.findall(r"#[0-9a-f]{6}\b", svg)}
    assert not left, "colours that are the same on light and dark pages"
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", text))
    light, dark = text.split("prefers-color-scheme: dark", 1)
    for name in used - {"--font"}:
        assert f"{name}: #" in light and f"{name}: #" in dark.split("</style>")[0]


def test_every_case_and_its_reason_are_in_the_tables(text):
    tables = text[text.index('id="numbers"') :]
    for benchmark in runs.full_run()["benchmarks"]:
        extra = benchmark["extra_info"]
        assert f"<span>{extra['case']}<small>{extra['why']}</small>" in tables
    assert tables.count("<tr") > 1500


def test_a_family_s_number_is_the_geometric_mean_over_the_fastest_peer(tmp_path):
    content = runs.run_of(
        runs.row("matmul", "a", "fusednn", 1.0), runs.row("matmul", "a", "numpy", 4.0),
        runs.row("matmul", "a", "torch", 6.0),
        runs.row("matmul", "a", "fusednn, unfused", 0.2),
        runs.row("matmul", "b", "fusednn", 2.0), runs.row("matmul", "b", "torch", 1.0),
        runs.row("matmul", "c", "fusednn", 1.0),
        runs.row("matmul", "a", "fusednn-cuda", 0.01), runs.row("matmul", "a", "cupy", 0.03),
    )  # fmt: skip
    cpu, gpu = ratios.groups(read(tmp_path, content))
    assert cpu.values == [4.0, 0.5] and math.isclose(cpu.mean, math.sqrt(2))
    assert cpu.least.case.name == "b" and cpu.greatest.peer.contestant == "numpy"
    assert gpu.name == "matmul on the GPU" and gpu.values == [3.0]


GAPS = {
    "one contestant": [runs.row("matmul", "a", "fusednn", 1.0)],
    "nobody of ours": [runs.row("matmul", "a", "numpy", 1.0)],
    "one case": [runs.row("softmax", "a", w, 1.0, 0.0) for w in ("fusednn", "jax")],
    "memory alone": [runs.row("start", "m", w, 90.0, unit="MB", floor=None, compile=None)
                     for w in ("fusednn", "torch")],
    "no limits": [runs.row("training", "a", w, 1.0, floor=None, gflops=None, gbytes=None,
                           share_of_floor=None, residual=float("nan"), tolerance=None)
                  for w in ("fusednn", "somebody new")],
    "one size": [runs.row("inference", "a", "fusednn", 1.0, size=32, axis="x")],
    "strange names": [runs.row("<b>", '"&<i>', w, 1.0) for w in ("fusednn", "numpy")],
}  # fmt: skip


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("rows", GAPS.values(), ids=GAPS)
def test_gaps_are_sentences(tmp_path, rows):
    run = read(tmp_path, runs.run_of(*rows, peak={}, bandwidth=None, copies={}))
    text = report.page(run)
    page = Page(text)
    assert [i for i in page.identities if i in SECTIONS] == list(SECTIONS)
    assert 'class="none"' in text and "<b>\"" not in text


def test_somebody_else_s_benchmarks_are_left_out(tmp_path):
    other = {"name": "x", "stats": {"median": 1}, "extra_info": {}}
    run = read(tmp_path, runs.run_of(other, runs.row("matmul", "a", "fusednn", 1.0)))
    assert len(run.rows) == 1


def test_threads_are_drawn_with_the_whole_team(tmp_path):
    from bench.pictures import scaling

    threads, *others = scaling.sweeps(read(tmp_path, runs.full_run()))
    assert threads.axis == "threads" and "square" in {sweep.axis for sweep in others}
    assert [row.size for row in threads.lines["fusednn"]] == [1, 2]


def test_labels_keep_apart_and_dots_do_not_overlap():
    from bench.pictures import drawing, speed

    places = drawing.spread([10, 11, 12, 50, 99, 100], 14, 0, 100)
    assert places == sorted(places) and places[0] >= 0 and places[-1] <= 100
    assert min(b - a for a, b in zip(places, places[1:], strict=False)) > 13.5
    x = [i * 1.7 for i in range(40)]
    y = speed.swarm(x, 3, 30)
    dots = list(zip(x, y, strict=True))
    assert min(math.dist(a, b) for i, a in enumerate(dots) for b in dots[:i]) >= 5.69


@pytest.mark.parametrize(
    ("value", "text"),
    [(2.5e-9, "2.50 ns"), (999.9e-9, "1.00 µs"), (1.5e-6, "1.50 µs"), (0.0123, "12.3 ms"),
     (1.0, "1.00 s"), (123.4, "123 s"), (1234.5, "1,234 s")],
)  # fmt: skip
def test_times_have_units_that_fit(value, text):
    assert units.seconds(value) == text


def test_numbers_have_digits_that_count():
    assert [units.times(v) for v in (0.4, 0.066, 1.0, 9.996, 12.34, 1234)] == [
        "0.40×", "0.066×", "1.00×", "10.00×", "12.3×", "1,234×"]  # fmt: skip
    assert [units.short(v) for v in (0.5, 16, 1024, 4096, 1 << 24, 10_000, 1e6)] == [
        "0.5", "16", "1024", "4k", "16M", "10k", "1M"]  # fmt: skip


def test_the_headline_is_a_picture_for_a_readme(full):
    data = (full / "head.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width == 1600 and 600 < height < 1300


def test_without_matplotlib_it_says_what_to_install(tmp_path):
    path = runs.written(tmp_path, runs.full_run())
    code = (
        "import sys; sys.path.insert(0, '.'); import importlib.util as u; find = u.find_spec;"
        "u.find_spec = lambda name: None if name == 'matplotlib' else find(name);"
        f"from bench.__main__ import main; sys.exit(main(['report', {str(path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, text=True, capture_output=True)
    assert done.returncode == 2 and "pip install fusednn[bench]" in done.stderr
    assert not path.with_suffix(".html").exists()


NAMES = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
PROBE = """<script>
addEventListener("load", () => {
  for (const d of document.querySelectorAll("details")) d.open = true;
  const shown = [...document.querySelectorAll("svg")].filter(s => s.getClientRects().length);
  const sizes = shown.map(s => s.getBoundingClientRect());
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name);
  const outside = shown.flatMap(s => [...s.querySelectorAll("text")].filter(t => {
    const a = t.getBoundingClientRect(), b = s.getBoundingClientRect();
    return a.left < b.left - 2 || a.right > b.right + 2;
  }).map(t => t.textContent));
  document.title = ["probe", shown.length, Math.min(...sizes.map(r => r.width)),
    Math.min(...sizes.map(r => r.height)), document.documentElement.scrollWidth - innerWidth,
    colour("--c-paper").trim(), outside.join("|")].join(";");
});
</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
@pytest.mark.parametrize(("scheme", "paper"), [(1, "#ffffff"), (0, "#14171c")])
@pytest.mark.parametrize("width", [500, 1200])
def test_a_browser_shows_every_picture(full, text, tmp_path, scheme, paper, width):
    path = tmp_path / "probed.html"
    path.write_text(text.replace("</body>", PROBE + "</body>"))
    done = subprocess.run(
        [BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={width},900",
         f"--blink-settings=preferredColorScheme={scheme}", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"<title>probe;(.*?)</title>", done.stdout)
    assert found, done.stderr[-2000:]
    pictures, least_width, least_height, beyond, colour, outside = found[1].split(";")
    assert int(pictures) == text.count("<svg") // 2  # those of this width
    assert float(least_width) > 200 and float(least_height) > 40
    assert float(beyond) <= 0, "the page scrolls sideways"
    assert colour == paper
    assert outside == "", "text that leaves its picture"
