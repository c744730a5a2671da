"""The upload page in a browser: how pictures are looked at, by mouse, by keyboard, and at every width."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.looking import expect, pixels_of, see, upload, wait_for_picture

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


def test_a_dicom_file_gets_its_window_and_no_name(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "dicom")
    wait_for_picture(reading)
    assert "Doe" not in reading.content() and "Jane" not in reading.content()
    before = pixels_of(reading)
    reading.get_by_role("button", name="Contrast").click()
    expect(reading.locator("#centre")).to_have_value("-300")
    reading.get_by_label("Preset").select_option("Bone")
    reading.wait_for_function("was => document.getElementById('centre').value === '400'")
    reading.wait_for_timeout(300)
    assert pixels_of(reading) != before
    see(reading, ".headline", "at or above the limit")
    reading.get_by_role("button", name="Fit and reset").click()
    expect(reading.locator("#centre")).to_have_value("-300")
    reading.get_by_label("Show file names").check()
    see(reading, ".item .name", "Doe_Jane_1980-02-03.dcm")


def test_dragging_sets_the_window(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "dicom")
    wait_for_picture(reading)
    reading.get_by_role("button", name="Contrast").click()
    box = reading.locator("#canvas").bounding_box()
    assert box is not None
    reading.mouse.move(box["x"] + 200, box["y"] + 100)
    reading.mouse.down()
    reading.mouse.move(box["x"] + 100, box["y"] + 150)
    reading.mouse.up()
    assert float(reading.locator("#centre").input_value()) > -300
    assert float(reading.locator("#width").input_value()) < 1400


def test_the_most_telling_frame_comes_first_and_each_has_its_answer(
    reading: "Page", files: dict[str, Path]
) -> None:
    upload(reading, files, "frames")
    expect(reading.locator("#frame-said")).to_have_text("3 of 4")
    see(reading, ".headline", "at or above the limit")
    reading.locator("#canvas").focus()
    reading.keyboard.press("p")
    expect(reading.locator("#frame-said")).to_have_text("2 of 4")
    see(reading, ".headline", "below the limit")


def test_a_heatmap_is_laid_over_the_picture_for_a_class_and_taken_off(
    reading: "Page", files: dict[str, Path]
) -> None:
    upload(reading, files, "positive")
    wait_for_picture(reading)
    grey = pixels_of(reading)
    button = reading.get_by_role("button", name="Heatmap")
    button.click()
    see(reading, "#live", "Heatmap of PNEUMONIA shown")
    yellow = pixels_of(reading)
    assert yellow[0] - yellow[2] > 40 and grey[0] == grey[2]
    see(reading, "#heat-note", "proves no finding")
    reading.get_by_label("Heatmap for").select_option("NORMAL")
    see(reading, "#live", "Heatmap of NORMAL shown")
    blue = pixels_of(reading)
    assert blue[2] > blue[0]
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    reading.wait_for_timeout(100)
    assert pixels_of(reading) == grey


def test_similar_training_images_come_when_they_are_asked_for(
    reading: "Page", files: dict[str, Path]
) -> None:
    asked: list[str] = []
    reading.on("request", lambda request: asked.append(request.url))
    upload(reading, files, "dicom")
    assert not any("similar" in url for url in asked)
    reading.get_by_text("Similar training images").click()
    expect(reading.locator(".similar figure")).to_have_count(3)
    reading.get_by_label("Show file names").check()  # draws the answer anew, and what was opened stays open
    expect(reading.locator(".similar figcaption")).to_have_text(["PNEUMONIA", "NORMAL", "NORMAL"])
    see(reading, ".answer", "proves no finding")
    assert sum("similar" in url for url in asked) == 1


def test_a_heatmap_that_is_withheld_leaves_the_picture(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "small")
    wait_for_picture(reading)
    reading.get_by_role("button", name="Heatmap").click()
    see(reading, "#heat-refused", "There is no heatmap for this image")
    wait_for_picture(reading)
    expect(reading.get_by_role("button", name="Heatmap")).to_have_attribute("aria-pressed", "false")


def test_the_keyboard_alone_is_enough(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "positive", "negative", "dicom")
    reading.locator(".item .open").first.focus()
    reading.keyboard.press("ArrowDown")
    expect(reading.locator(".item .open").nth(1)).to_be_focused()
    see(reading, ".headline", "below the limit")
    reading.keyboard.press("j")
    see(reading, "#answer-of", "Image 3")
    reading.keyboard.press("k")
    reading.keyboard.press("+")
    see(reading, "#scale", "× 1.4")
    reading.keyboard.press("0")
    expect(reading.locator("#scale")).to_have_text("")
    reading.keyboard.press("i")
    expect(reading.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    reading.keyboard.press("h")
    see(reading, "#live", "Heatmap of PNEUMONIA shown")
    reading.keyboard.press("?")
    expect(reading.locator("#keys")).to_be_visible()
    reading.get_by_label("Single keys").uncheck()
    reading.keyboard.press("Escape")
    reading.keyboard.press("k")
    see(reading, "#answer-of", "Image 2")
    reading.locator(".item .open").nth(1).focus()
    reading.keyboard.press("Delete")
    expect(reading.locator(".item")).to_have_count(2)


def test_every_control_is_reached_by_tab_and_shows_the_focus(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "dicom")
    reading.locator(".brand").focus()
    reached = []
    for _ in range(40):
        reading.keyboard.press("Tab")
        reached.append(
            reading.evaluate("() => document.activeElement.id || document.activeElement.className || 'page'")
        )
    wanted = [
        "show-keys",
        "language",
        "theme",
        "files",
        "open",
        "remove",
        "save-pdf",
        "save-json",
        "names",
        "clear",
    ]
    wanted += ["zoom-in", "invert", "window", "heat", "canvas"]
    places = [reached.index(name) for name in wanted]
    assert places == sorted(places)
    reading.locator("#heat").focus()
    reading.keyboard.press("Shift+Tab")
    assert reading.locator("#window").evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def test_the_wheel_zooms_and_a_drag_moves(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "positive")
    wait_for_picture(reading)
    reading.locator("#canvas").hover()
    reading.mouse.wheel(0, -800)
    expect(reading.locator("#canvas")).to_have_attribute("data-zoomed", "true")
    before = pixels_of(reading)
    box = reading.locator("#canvas").bounding_box()
    assert box is not None
    reading.mouse.down()
    reading.mouse.move(box["x"] + 60, box["y"] + 60)
    reading.mouse.up()
    assert pixels_of(reading) != before
    reading.locator("#canvas").dblclick()
    expect(reading.locator("#canvas")).to_have_attribute("data-zoomed", "false")


@pytest.mark.parametrize(("width", "columns"), [(390, 1), (900, 2), (1280, 3), (2560, 3)])
def test_nothing_is_cut_off_at_any_width(
    reading: "Page", files: dict[str, Path], width: int, columns: int
) -> None:
    reading.set_viewport_size({"width": width, "height": 900})
    upload(reading, files, "positive", "small")
    wide = reading.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= width
    panes = [reading.locator(name).bounding_box() for name in ("#images", "#viewer", "#answer")]
    lefts = {round(box["x"]) for box in panes if box is not None}
    assert len(lefts) == columns
    reading.locator(".item .open").last.click()
    reading.wait_for_function(
        "() => { const [list, item] = ['#items', '.item[data-chosen=true]'].map(s => document.querySelector(s).getBoundingClientRect());"
        " return item.left >= list.left - 1 && item.right <= list.right + 1 && item.bottom <= list.bottom + 1; }"
    )
    small = reading.locator("button:visible, .button:visible, select:visible").evaluate_all(
        "nodes => nodes.map(node => node.getBoundingClientRect()).filter(box => box.height < 40 || box.width < 40).length"
    )
    assert small == 0


def test_the_appearance_is_kept_and_follows_the_system_otherwise(browser: "Browser", address: str) -> None:
    context = browser.new_context(color_scheme="dark", locale="en-GB")
    opened = context.new_page()
    opened.goto(address)
    expect(opened.locator("html")).to_have_attribute("data-theme", "dark")
    opened.get_by_label("Appearance").select_option("light")
    opened.goto(f"{address}card")
    expect(opened.locator("html")).to_have_attribute("data-theme", "light")
    context.close()
