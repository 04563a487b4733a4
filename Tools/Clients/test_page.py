"""The web page, driven in Debian's Chromium (`apt-get install chromium`) at two widths and in both schemes."""

import io
import shutil

import pytest
from PIL import Image
from playwright.sync_api import sync_playwright

from conftest import KEY

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

SCREENS = [
    (1280, 800, "light"), (1280, 800, "dark"), (390, 844, "light"), (390, 844, "dark"), (320, 640, "light"),
]


@pytest.fixture(scope="module")
def browser():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser, server):
    """Opens the page as a browser does that was asked for the key: with Basic credentials."""
    contexts = []

    def open_page(width=1280, height=800, scheme="light"):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            http_credentials={"username": "me", "password": KEY},
            permissions=["clipboard-read", "clipboard-write"],
        )
        contexts.append(context)
        page = context.new_page()
        page.complaints = []
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: message.type in ("error", "warning")
            and "401" not in message.text
            and page.complaints.append(message.text),
        )
        page.on(
            "request",
            lambda request: request.url.startswith((server, "data:", "blob:"))
            or page.complaints.append(f"asks {request.url}"),
        )
        page.goto(f"{server}/")
        page.wait_for_selector("#model:not(:empty)")
        return page

    yield open_page
    for context in contexts:
        context.close()


def colours(page):
    """How many colours a screenshot has, and its most frequent one."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    counts = sorted(image.getcolors(1 << 24), reverse=True)
    return len(counts), counts[0][1]


def ask(page, pictures):
    page.click("#prompt")
    page.keyboard.type("First ")
    page.set_input_files("#files", pictures[1] / "red.png")
    page.wait_for_selector("#prompt img >> nth=0")
    page.keyboard.type(" then ")
    page.set_input_files("#files", pictures[1] / "blue.jpg")
    page.wait_for_selector("#prompt img >> nth=1")
    page.keyboard.type(" what?")
    page.keyboard.press("Enter")


@pytest.mark.parametrize("width, height, scheme", SCREENS)
def test_looks_right(open_page, pictures, width, height, scheme):
    page = open_page(width, height, scheme)
    count, paper = colours(page)
    assert count > 50
    assert (sum(paper) > 600) == (scheme == "light")
    ask(page, pictures)
    page.wait_for_selector("text=Regenerate")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    box = page.locator("#send").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= height
    page.click("#settings-open")
    assert page.locator("#settings").bounding_box()["width"] <= width
    assert page.complaints == []


def test_sends_images_and_text_in_order(open_page, pictures):
    page = open_page()
    bodies = []
    page.on("request", lambda request: request.method == "POST" and bodies.append(request.post_data_json))
    ask(page, pictures)
    page.wait_for_selector("text=Regenerate")
    parts = bodies[0]["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url", "text", "image_url", "text"]
    assert parts[0]["text"].strip() == "First" and parts[4]["text"].strip() == "what?"
    assert parts[1]["image_url"]["url"].startswith("data:image/png;base64,")
    numbers = page.text_content("article.assistant .numbers")
    assert "tokens" in numbers and "reading" in numbers
    answer = page.text_content("article.assistant .said")
    page.click("text=Regenerate")
    page.wait_for_selector("text=Regenerate")
    assert page.text_content("article.assistant .said") == answer
    page.click("#curl")
    page.wait_for_selector("#status:has-text('curl')")
    command = page.evaluate("navigator.clipboard.readText()")
    assert command.startswith("curl -N http") and '"image_url"' in command
    page.click("#new")
    assert page.locator("article").count() == 0
    assert page.complaints == []


def test_a_message_can_be_edited(open_page, pictures):
    page = open_page()
    bodies = []
    page.on("request", lambda request: request.method == "POST" and bodies.append(request.post_data_json))
    ask(page, pictures)
    page.wait_for_selector("text=Regenerate")
    page.hover("article.user")
    page.click("article.user >> text=Edit")
    assert page.locator("#prompt img").count() == 2
    assert page.locator("article.replaced").count() == 2
    page.keyboard.press("Escape")
    assert page.locator("article.replaced").count() == 0 and page.locator("#prompt img").count() == 0
    page.click("article.user >> text=Edit")
    page.keyboard.type(" and why?")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Regenerate")
    assert page.locator("article").count() == 2
    parts = [part.get("text", "image").strip() for part in bodies[1]["messages"][0]["content"]]
    assert parts == ["First", "image", "then", "image", "what? and why?"]
    assert len(bodies[1]["messages"]) == 1
    assert page.complaints == []


def test_stops_and_explains_failures(open_page):
    page = open_page()
    page.click("#settings-open")
    page.fill("[name=max_tokens]", "1500")
    page.click("text=Done")
    page.click("#prompt")
    page.keyboard.type("A long story")
    page.keyboard.press("Enter")
    page.wait_for_selector("#stop:visible")
    page.keyboard.press("Escape")
    page.wait_for_selector("#send:visible")
    assert "topped" in page.text_content("#status") or "complete" in page.text_content("#status")
    page.route("**/v1/chat/completions", lambda route: route.abort())
    page.keyboard.type("Again")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Try again")
    area = page.locator("main").bounding_box()
    button = page.locator("text=Try again").bounding_box()
    assert button["y"] + button["height"] <= area["y"] + area["height"], "the way out is in view"
    assert page.text_content(".error >> nth=0") == "The connection to the server was lost."


def test_text_is_never_markup(open_page):
    page = open_page()
    words = "<img src=x onerror=alert(1)><b>bold</b>"
    page.click("#prompt")
    page.keyboard.type(words)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Regenerate")
    assert page.text_content("article.user .said") == words
    assert page.locator("article.user b, article.user img").count() == 0
    assert page.complaints == []


def test_works_by_keyboard_and_has_names(open_page):
    page = open_page()
    names = page.eval_on_selector_all(
        "button, [role=textbox], input:not([hidden]), textarea",
        "all => all.map(e => (e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent"
        " || e.title).trim())",
    )
    assert all(names)
    reached = set()
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.className"))
    assert {"settings-open", "prompt", "attach", "send", "idea"} <= reached
