"""What is seen and what is read aloud: charts with drawn marks in the light and in the dark, a phone, the keyboard."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

MIXTURE = "model=Qwen/Qwen3-30B-A3B"
BARS, RANKED, DOTS = {"rect": 3, "text": 4}, {"rect": 3, "rule": 3, "text": 6}, {"symbol": 5, "text": 1}
STEP = {"rect": 2, "area": 4, "rule": 1, "text": 4}
# Each page with the kinds of marks that each of its charts draws, and how many at least.
CHARTS = {
    "": [BARS, DOTS, RANKED],
    "?engines=true&breakdown=true&formulas=true": [BARS, DOTS, RANKED, RANKED],
    "?mode=pretraining": [BARS, DOTS, RANKED],
    "?source=manual&device=none": [BARS, DOTS, RANKED],
    f"?mode=decode&{MIXTURE}": [BARS, DOTS, RANKED],
    "fit": [{"rect": 3, "text": 3}, {"rect": 3, "text": 3}, {"rect": 10, "text": 10}],
    "fit?device=none": [{"rect": 3, "text": 3}],
    "fit?model=deepseek-ai/DeepSeek-V3.1&batch=64&length=32768": [
        *({"rect": 3, "text": 3}, {"rect": 3, "text": 3}, {"rect": 10, "text": 10})
    ],
    "?device=my%20own&own_memory=48": [BARS, DOTS, RANKED],
    "speed": [{"line": 2, "symbol": 5}, BARS],
    "serving": [{"rect": 3, "text": 3}, {"rect": 2, "text": 2}],
    "serving?machine=NVIDIA%20GB300%20NVL72": [{"rect": 3, "text": 3}, {"rect": 2, "text": 2}],
    "?mode=decode&draft=Qwen/Qwen3-0.6B": [BARS, {"rect": 4, "text": 6}, DOTS, RANKED],
    "training": [{"rect": 10, "text": 10}, STEP, {"rect": 3}],
    "training?device=GeForce%20RTX%204090&devices=1": [{"rect": 10, "text": 10}, STEP, {"rect": 3}],
    "training?model=meta-llama/Llama-3.1-70B&devices=16": [{"rect": 10, "text": 10}, STEP, {"rect": 3}, {"rect": 4}],
    "scaling": [{"area": 2}, {"line": 2}, {"line": 2}, {"line": 1}, {"rect": 20}],
    "scaling?vary=batch&mode=decode": [{"area": 2}, {"line": 2}, {"line": 3}, {"line": 1}, {"rect": 20}],
    "compare": [{"rect": 8, "text": 4}],
    f"experts?{MIXTURE}": [{"line": 2}, {"area": 4}, {"rect": 100, "rule": 1}],
    "checkpoint?source=hub&hub=org/deepseek": [{"rect": 6}, {"rect": 2, "text": 2}],
    "experts": [{"line": 2}, {"area": 4}, {"rect": 8, "rule": 1}],
}
METHODS = ["methods", "methods?chapter=time", "methods?section=model", "methods?section=validation"]
PAGES = [*CHARTS, *METHODS, "checkpoint?source=manual", "?source=hub"]
CONTROLS = {"textbox", "combobox", "spinbutton", "slider", "radio", "checkbox", "switch", "button", "link"}
# How far the colours of a mark stand out from what lies behind it (WCAG 2 contrast): a shape from the page, a text at
# five places from the page, shapes, lines and halos below it, whatever their kind. What is painted over it hides it.
CONTRASTS = """
(chart) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (rgb) => rgb.slice(0, 3)
    .map((c) => c / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  let behind = chart;
  while (channels(getComputedStyle(behind).backgroundColor)[3] < 255) behind = behind.parentElement;
  const page = channels(getComputedStyle(behind).backgroundColor);
  const laid = (color, opacity, ground) => {
    const [r, g, b, a] = channels(color);
    return [r, g, b].map((c, i) => c * opacity * a / 255 + ground[i] * (1 - opacity * a / 255));
  };
  const contrast = (over, ground) => {
    const [high, low] = [light(over), light(ground)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const paints = (color) => color !== "none" && channels(color)[3] > 0;
  const marks = [...chart.querySelectorAll("svg g.role-mark path, svg g.role-mark line, svg text")];
  const styles = new Map(marks.map((mark) => [mark, getComputedStyle(mark)]));
  const opacity = (mark, kind) => Number(styles.get(mark).opacity) * Number(styles.get(mark)[`${kind}Opacity`]);
  const boxes = new Map(marks.map((mark) => [mark, mark.getBoundingClientRect()]));
  const within = (box, x, y) => box.x <= x && x <= box.right && box.y <= y && y <= box.bottom;
  // The colour that a mark leaves at a place of the screen, or nothing.
  const left = (mark, x, y, ground) => {
    const style = styles.get(mark), box = boxes.get(mark);
    if (mark.tagName === "text") {
      const halo = paints(style.stroke) && opacity(mark, "stroke") && within(box, x, y);
      return halo ? laid(style.stroke, opacity(mark, "stroke"), ground) : null;
    }
    const at = new DOMPoint(x, y).matrixTransform(mark.getScreenCTM().inverse());
    if (paints(style.stroke) && opacity(mark, "stroke") && mark.isPointInStroke(at))
      return laid(style.stroke, opacity(mark, "stroke"), ground);
    if (paints(style.fill) && opacity(mark, "fill") && mark.isPointInFill(at))
      return laid(style.fill, opacity(mark, "fill"), ground);
    return null;
  };
  const found = [];
  for (const [place, mark] of marks.entries()) {
    const style = styles.get(mark), box = boxes.get(mark);
    const kind = paints(style.fill) ? "fill" : "stroke", color = style[kind], seen = opacity(mark, kind);
    if (!seen || !paints(color) || !(box.width || box.height)) continue;
    const row = (stands) => found.push([mark.parentNode.getAttribute("class"), mark.textContent, color, stands]);
    if (mark.tagName !== "text") {
      row(contrast(laid(color, seen, page), page));
      continue;
    }
    if (!mark.textContent.trim() || paints(style.stroke)) continue;  // a halo is read with the text it belongs to
    for (const share of [0.08, 0.3, 0.5, 0.7, 0.92]) {
      const [x, y] = [box.x + share * box.width, box.y + box.height / 2];
      let ground = page, hidden = false;
      for (const [order, other] of marks.entries()) {
        if (other === mark) continue;
        const now = left(other, x, y, ground);
        if (now && order > place && mark.closest("g.role-mark")) hidden = true;
        if (now && order < place) ground = now;
      }
      row(hidden ? 1 : contrast(laid(color, seen, ground), ground));
    }
  }
  return found;
}
"""


@pytest.fixture
def serving(server: str, hub_server: str) -> Callable[[str], str]:
    """The server for a link: the one with a Hub where the link names a repository of it."""
    return lambda link: hub_server if "org/" in link else server


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("link", CHARTS)
def test_every_chart_draws_its_marks_and_they_stand_out(visit, serving, link, color_scheme):
    page = visit(serving(link), color_scheme=color_scheme).open(link)
    for chart, kinds in drawn(page, link):
        for kind, least in kinds.items():
            boxes = marks(chart, kind).evaluate_all("all => all.map(e => e.getBoundingClientRect().toJSON())")
            assert sum(box["width"] + box["height"] > 0 for box in boxes) >= least - (kind == "rect")
        found = chart.evaluate(CONTRASTS)
        assert len(found) > 5
        assert [row for row in found if row[-1] < 3] == []
    background = page.get_by_test_id("stApp").evaluate("e => getComputedStyle(e).backgroundColor")
    channels = [int(part) for part in background.removeprefix("rgb(").removesuffix(")").split(",")]
    assert (max(channels) < 60) if color_scheme == "dark" else (min(channels) > 200)


def drawn(page: Page, link: str) -> list[tuple[Locator, dict[str, int]]]:
    """The charts with the kinds of marks they show, once all of them are drawn."""
    kinds = CHARTS.get(link, [])
    charts = page.get_by_test_id("stVegaLiteChart")
    if link in CHARTS:
        expect(charts).to_have_count(len(kinds))
        for chart, counts in zip(charts.all(), kinds, strict=True):
            for kind, least in counts.items():
                expect(marks(chart, kind).nth(least - 1)).to_be_attached()
    return list(zip(charts.all(), kinds, strict=False))


def marks(chart: Locator, kind: str) -> Locator:
    return chart.locator(f"g.mark-{kind}.role-mark > *")


# A phone


@pytest.mark.parametrize("link", PAGES)
def test_a_phone_shows_all_of_a_page(visit, serving, link):
    page = visit(serving(link), width=390).open(link)
    expect(page.locator("h1")).to_be_in_viewport(ratio=1)
    expect(page.get_by_test_id("stSidebar")).not_to_be_in_viewport()
    assert drawn(page, link) or link not in CHARTS
    main = page.get_by_test_id("stMain")
    assert main.evaluate("e => e.scrollWidth") <= 390
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = main.locator("p, li, td, th").evaluate_all(
        "all => all.filter(e => e.innerText.trim() && e.offsetWidth).map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert sizes
    assert min(sizes) >= 11


def test_a_phone_opens_the_sidebar_and_goes_to_another_page(visit, server):
    visitor = visit(server, width=390)
    page = visitor.open()
    page.get_by_test_id("stExpandSidebarButton").click()
    expect(page.locator(".st-key-mode")).to_be_in_viewport()
    page.locator(".st-key-mode").get_by_text("decode", exact=True).click()
    visitor.settled()
    expect(page.get_by_test_id("stMetricLabel").nth(1)).to_have_text("Next token")
    expect(page.get_by_test_id("stMain")).to_contain_text("One decode step · batch 1 × 4,096 tokens")
    page.get_by_test_id("stExpandSidebarButton").or_(page.get_by_test_id("stSidebarNav")).first.wait_for()
    visitor.go("Scaling")
    expect(page.locator("h1")).to_contain_text("Qwen2.5-7B grows")
    visitor.settled()
    assert page.url.endswith("/scaling?mode=decode")


def test_the_change_button_opens_the_drawer_again_and_again(server, chromium):
    context = chromium.new_context(viewport={"width": 390, "height": 844}, user_agent="Mozilla/5.0 (iPhone) Mobi")
    page = context.new_page()
    try:
        page.goto(f"{server}/")
        change, model = page.get_by_role("button", name="Settings and pages"), page.locator(".st-key-model input")
        for _ in range(2):
            change.click()
            expect(model).to_be_in_viewport()
            page.get_by_test_id("stSidebarCollapseButton").locator("button").click()
            expect(model).not_to_be_in_viewport()
    finally:
        context.close()


@pytest.mark.parametrize("width", [768, 1440])
def test_figures_side_by_side_are_of_one_height(visit, server, width):
    page = visit(server, width).open("fit")
    cards = page.get_by_test_id("stMetric").locator("xpath=ancestor::*[contains(@class, 'stVerticalBlock')][1]")
    boxes = [box for card in cards.all() if (box := card.bounding_box())]
    assert len(boxes) == 4
    assert len({(round(box["y"]), round(box["height"]), round(box["width"] / 4)) for box in boxes}) == 1


# Those who do not see the page, or use no mouse


@pytest.mark.parametrize("link", PAGES)
def test_a_page_has_a_name_for_everything_and_does_not_scroll_sideways(visit, serving, link):
    page = visit(serving(link)).open(link)
    expect(page.locator("h1")).to_be_in_viewport(ratio=1)
    for expander in page.get_by_test_id("stSidebar").locator("summary").all():
        expander.click()
    charts = drawn(page, link)
    assert page.get_by_test_id("stMain").evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    names = [(n["role"]["value"], n.get("name", {}).get("value", "").strip()) for n in nodes if not n["ignored"]]
    assert [role for role, name in names if role in (*CONTROLS, "graphics-document") and not name] == []
    assert sum(role in CONTROLS for role, _ in names) >= 10
    assert len({name for role, name in names if role == "graphics-document"}) == len(charts)
    regions = {name for role, name in names if role == "region" and name not in ("", "Sidebar")}
    held = [page.get_by_test_id(kind).filter(visible=True).count() for kind in ("stDataFrame", "stFileUploader")]
    assert len(regions) == sum(held)
    assert page.locator("h1").count() == 1
    assert page.locator("html").get_attribute("lang") == "en"


def test_the_tab_key_follows_the_reading_order(visit, server):
    page = visit(server).open(f"?mode=decode&{MIXTURE}")
    for expander in page.get_by_test_id("stSidebar").locator("summary").all():
        expander.click()
    expect(page.locator(".st-key-routing")).to_be_visible()
    page.get_by_test_id("stSkipToContent").focus()
    reached: dict[str, None] = {}
    for _ in range(80):
        page.keyboard.press("Tab")
        key = page.evaluate(
            """() => {
                 const widget = document.activeElement.closest("[class*=st-key-]");
                 return widget && [...widget.classList].find(c => c.startsWith("st-key-")).slice(7);
               }"""
        )
        if key:
            reached[key] = None
    assert list(reached)[:25] == [
        *("source", "model", "mode", "batch", "length", "generate", "work", "weights", "kv"),
        *("device", "devices", "engine", "price"),
        *(
            "advanced",
            "draft",
            "attention",
            "counting",
            "logits",
            "routing",
            "capacity",
            "share",
            "flash_decode",
            "split",
        ),
        *("link", "data"),
    ]


def test_the_keyboard_alone_changes_the_numbers(visit, server):
    page = visit(server).open()
    before = page.get_by_test_id("stMetricValue").first.inner_text()
    page.locator(".st-key-model input").focus()
    page.keyboard.type("gpt2-xl")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text("gpt2-xl in")
    assert page.get_by_test_id("stMetricValue").first.inner_text() != before
    page.locator(".st-key-mode").get_by_role("radio", checked=True).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    expect(page.locator(".st-key-generate input")).to_be_visible()
    expect(page.get_by_test_id("stMetricLabel").nth(1)).to_have_text("Next token")
    expect(page.get_by_test_id("stMain")).to_contain_text("One decode step · batch 1 × ")
    page.locator(".st-key-batch input").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    expect(page.get_by_text("batch 2 ×")).to_be_visible()
