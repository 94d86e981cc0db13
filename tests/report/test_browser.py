"""The pages in a browser: nothing is fetched, nothing goes wrong, and what can be clicked works."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ciranda.i18n import speaking
from ciranda.report.compare import Figures, Way, comparison
from ciranda.report.page import report
from tests.report.history import manifest, rows, run, settings

CHROMIUM = Path("/usr/bin/chromium")
QUIET = ("quic", "gpu", "background-networking", "component-update", "sync")
FLAGS = ["--headless", "--no-sandbox", "--no-first-run", *(f"--disable-{what}" for what in QUIET)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"no browser: {CHROMIUM} is not there (Debian's package chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """File by kind of page and language."""
    folder = tmp_path_factory.mktemp("pages")
    many = run(rows(40, 60), manifest=manifest(60))
    ways = [Way(name, [run(rows(8, seed=seed), settings=settings(seed, name)) for seed in (1, 2)]) for name in ("fedavg", "fedprox")]
    files = {}
    for language in ("en", "pt"):
        with speaking(language):
            made = {"run": report(many), "comparison": comparison(ways, "server", "accuracy", Figures(["run"], [["fedavg"]], []))}
        for kind, text in made.items():
            files[f"{kind}-{language}"] = folder / f"{kind}-{language}.html"
            files[f"{kind}-{language}"].write_text(text, encoding="utf-8")
    return files


@pytest.fixture
def shown(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    """A page with the run's report."""
    page = browser.new_page(viewport={"width": 1200, "height": 900})
    page.goto(pages["run-en"].as_uri())
    yield page
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("kind", ["run", "comparison"])
@pytest.mark.parametrize("language", ["en", "pt"])
def test_a_page_opens_without_a_fault_and_fits(browser: Any, pages: dict[str, Path], width: int, kind: str, language: str) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800})
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(pages[f"{kind}-{language}"].as_uri())
    assert wrong == []
    assert [url for url in asked if not url.startswith(("data:", "file:"))] == []
    assert sum(url.startswith("file:") for url in asked) == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_the_buttons_choose_the_axis(shown: Any) -> None:
    assert shown.locator(".panel.round").is_visible()
    shown.locator("label[for=by-bytes]").click()
    assert shown.locator(".panel.bytes").is_visible()
    assert not shown.locator(".panel.round").is_visible()


def test_a_pointer_reads_the_values(shown: Any) -> None:
    box = shown.locator(".panel.round svg.chart").first.bounding_box()
    shown.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = shown.locator(".panel.round svg.chart .hover").first.text_content()
    assert "round " in told
    assert "server" in told


def test_clients_are_sorted_and_found(shown: Any) -> None:
    first = "#clients tbody tr:first-child td"
    worst = shown.locator(first).nth(1).inner_text()
    head = shown.locator("#clients th").nth(1)
    head.click()
    head.click()
    assert head.get_attribute("aria-sort") == "descending"
    assert float(shown.locator(first).nth(1).inner_text()) > float(worst)
    shown.locator("input[data-filter]").fill("59")
    visible = [row for row in shown.locator("#clients tbody tr").all() if row.is_visible()]
    assert [row.locator("td").first.inner_text() for row in visible] == ["59"]


def test_paper_has_every_axis_and_no_buttons(shown: Any) -> None:
    shown.emulate_media(media="print")
    assert all(shown.locator(f".panel.{kind}").is_visible() for kind in ("round", "seconds", "bytes"))
    assert not shown.locator(".tabs").is_visible()
    assert not shown.locator("#clients tbody tr").nth(40).is_visible()
    assert shown.pdf(prefer_css_page_size=True).startswith(b"%PDF")


def test_dark_and_light_have_readable_ink(shown: Any) -> None:
    def contrast() -> float:
        ink, paper = (shown.evaluate(f"getComputedStyle(document.body).{what}") for what in ("color", "backgroundColor"))
        lights = sorted(_luminance(colour) for colour in (ink, paper))
        return (lights[1] + 0.05) / (lights[0] + 0.05)

    for scheme in ("light", "dark"):
        shown.emulate_media(color_scheme=scheme)
        assert contrast() > 7


def _luminance(colour: str) -> float:
    """WCAG's relative luminance of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
