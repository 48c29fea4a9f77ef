"""The built pages: nothing is missing, every link and anchor exists, nothing is fetched from elsewhere."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAPERS = sorted(file.parents[1].name for file in (ROOT / "replications").glob("*/results/executed.ipynb"))
LOADED = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}


class Page(HTMLParser):
    """Ids and links of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.text = file.read_text(encoding="utf-8")
        self.feed(self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is None:
                continue
            if name == "id" or (tag == "a" and name == "name"):
                self.ids.add(value)
            if (tag, name) in LOADED:
                self.loads.append(value)
            if (tag, name) in LOADED or (tag, name) == ("a", "href"):
                self.links.append(value)


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    """Address on the site -> page."""
    return {
        f"/{file.relative_to(site).as_posix().removesuffix('index.html')}": Page(file)
        for file in sorted(site.rglob("*.html"))
        if "mathjax" not in file.parts
    }


def test_every_paper_has_its_pages(pages: dict[str, Page]) -> None:
    assert PAPERS
    for slug in PAPERS:
        for part in ("", "results/executed/", "results/tables/", "results/figures/"):
            assert f"/replications/{slug}/{part}" in pages
        for table in (ROOT / "replications" / slug / "results" / "tables").glob("*.md"):
            assert table.stem in pages[f"/replications/{slug}/results/tables/"].ids, table
            assert f'replications/{slug}/results/tables/#{table.stem}"' in pages["/tables/"].text
        for figure in (ROOT / "replications" / slug / "results" / "figures").glob("*.png"):
            assert figure.stem in pages[f"/replications/{slug}/results/figures/"].ids, figure


def test_every_loss_has_a_page_that_names_its_papers(pages: dict[str, Page]) -> None:
    from losslab import losses

    for name in losses.names():
        assert f"/docs/losses/{name}/" in pages
    assert "../../../replications/gce/" in pages["/docs/losses/gce/"].links
    assert "Lq (q=0.7)" in pages["/docs/losses/gce/"].text


def test_every_link_and_anchor_exists(site: Path, pages: dict[str, Page]) -> None:
    broken = []
    for address, page in pages.items():
        for link in page.links:
            target = urlsplit(urljoin(f"http://site{address}", link))
            if target.netloc != "site" or target.scheme != "http" or address == "/404.html":
                continue
            path = unquote(target.path)
            if path in pages:
                if target.fragment and unquote(target.fragment) not in pages[path].ids and target.fragment != "__top":
                    broken.append(f"{address}: {link} has no such anchor")
            elif not (site / path.lstrip("/")).is_file():
                broken.append(f"{address}: {link}")
    assert not broken, "\n".join(broken)


def test_nothing_is_loaded_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    for address, page in pages.items():
        outside = [load for load in page.loads if urlsplit(load).netloc]
        assert outside == [], address
    for file in (site / "assets").glob("*.css"):
        assert "://" not in file.read_text()


def test_formulas_are_marked_for_the_formula_setter(site: Path, pages: dict[str, Page]) -> None:
    assert 'class="arithmatex"' in pages["/replications/gce/results/executed/"].text
    assert 'class="arithmatex"' in pages["/docs/losses/gce/"].text
    assert (site / "assets" / "mathjax" / "tex-chtml-full.js").is_file()


def test_notebooks_show_their_figures(pages: dict[str, Page]) -> None:
    for slug in PAPERS:
        page = pages[f"/replications/{slug}/results/executed/"]
        assert "&lt;Figure size" not in page.text
        assert len([load for load in page.loads if load.endswith(".png")]) > 3


def test_figures_can_be_made_large(pages: dict[str, Page]) -> None:
    for slug in PAPERS:
        assert 'class="glightbox"' in pages[f"/replications/{slug}/results/figures/"].text


def test_the_search_index_knows_losses_and_papers(site: Path) -> None:
    found = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    places = {entry["location"] for entry in found}
    assert "docs/losses/gce/" in places and "replications/gce/" in places
    assert any(entry["location"].startswith("replications/gce/results/executed/#") for entry in found)
