"""Pictures of heat maps: which images have one, what it is called, and what is not in it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage
from medimg_cli.inference.explaining import HeatMaps, label_of, safe_stem
from medimg_cli.inference.heatmap import gives_maps, panel
from medimg_cli.inference.onnx_network import Seen
from medimg_cli.inference.predictor import Predictor
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.privacy.pixels.text_policy import covered
from medimg_cli.runs.explanation import Explanation, combined, withheld_for
from medimg_cli.runs.run import ModelCard
from tests.inference.test_heatmap import card_of

PASSED = Explanation(
    method="class activation map",
    layer="blocks",
    side=4,
    weights_sha256="",
    images=8,
    seeds=(0,),
    similarity={"head": 0.4, "all": 0.1},
    full=2.0,
    passed=True,
)


class Light:
    """A network whose map of the last class is the light in each sixteenth of the image."""

    def __init__(self, *, blind: bool = False) -> None:
        self.card: ModelCard = card_of(classes=("CLEAR", "SPOT"))
        self._blind = blind

    def __call__(self, pixels: Pixels, *, maps: bool = False) -> Seen:
        light = pixels[..., 0].reshape(len(pixels), 4, 16, 4, 16).mean(axis=(2, 4)).astype(np.float32)
        both = np.stack([np.zeros_like(light), light / 50], axis=1)
        given = both if maps and not self._blind else None
        return Seen(both.mean(axis=(2, 3), dtype=np.float64), light.reshape(-1, 16), given)


def predictor(*, blind: bool = False) -> Predictor:
    network = Light(blind=blind)
    return Predictor(network.card, [network])


def answered(label: str = "SPOT") -> Prediction:
    return Prediction("ok", label, 0.8, {"CLEAR": 0.2, "SPOT": 0.8})


def read(path: str, options: ReadOptions) -> DecodedImage:  # noqa: ARG001
    if "gone" in path:
        raise UnreadableImage("file not found")
    pixels = np.zeros((80, 120, 1), dtype=np.uint8)
    pixels[:20, :30] = 200
    return DecodedImage(pixels, 8)


def test_pictures_carry_the_number_of_their_row_and_no_other_row_has_one(tmp_path: Path) -> None:
    maps = HeatMaps(tmp_path / "maps", predictor(), PASSED, read=read)
    maps.tell("a/one.png", answered())
    maps.tell("a/two.png", Prediction("refused", None, None, {}, "refer"))
    maps.tell("a/gone.png", answered())
    maps.tell("a/DOE_JANE_1980-02-03.dcm#frame/3", answered())
    names = sorted(path.name for path in (tmp_path / "maps").iterdir())
    assert names == ["00001-one.png", "00004-xxx_xxxx_xxxx-xx-xx-frame-3.png"]
    assert maps.written == 2


def test_a_picture_has_the_image_and_beside_it_warmth_where_the_light_is(tmp_path: Path) -> None:
    picture = np.asarray(HeatMaps(tmp_path, predictor(), PASSED, read=read).of("x.png", answered())).astype(
        int
    )
    again = HeatMaps(tmp_path, predictor(), PASSED, read=read).of("x.png", answered())
    assert (np.asarray(again) == picture).all()
    shown = picture[52 : 52 + 373]
    plain, warm = shown[:, 20:580], shown[:, 596:1156]
    assert (plain[..., 0] == plain[..., 2]).all()  # grey
    coloured = (warm.max(axis=2) - warm.min(axis=2)) > 30
    assert coloured[:60, :90].all()
    assert not coloured[200:, 250:].any()


def test_a_picture_says_when_nothing_speaks_for_the_class() -> None:
    image = read("x", ReadOptions())
    cold = np.full((4, 4), -1.0, np.float32)
    card = card_of(classes=("CLEAR", "SPOT"))
    without, with_heat = (panel(image, card, answered(), heat, "SPOT", full=2.0) for heat in (cold, -cold))
    left, right = (np.asarray(without)[52:425, start : start + 560] for start in (20, 596))
    assert (left == right).all()
    assert without.height < with_heat.height


def test_a_class_that_the_font_cannot_write_is_numbered_and_never_left_blank() -> None:
    image = read("x", ReadOptions())
    for name in ("Phổi", "肺炎"):
        card = card_of(classes=("CLEAR", name))
        said = Prediction("ok", name, 0.8, {"CLEAR": 0.2, name: 0.8})
        drawn = panel(image, card, said, np.ones((2, 2), np.float32), name, full=None)
        expected = "Phoi" if name == "Phổi" else "class 2"
        plain_card = card_of(classes=("CLEAR", expected))
        plain_said = Prediction("ok", expected, 0.8, {"CLEAR": 0.2, expected: 0.8})
        same = panel(image, plain_card, plain_said, np.ones((2, 2), np.float32), expected, full=None)
        assert drawn.tobytes() == same.tobytes()


def test_rows_of_signs_are_covered() -> None:
    canvas = Image.new("L", (400, 300), 40)
    ImageDraw.Draw(canvas).text((60, 40), "DOE JANE 1980", fill=230, font=ImageFont.load_default(24))
    written = DecodedImage(np.asarray(canvas)[..., None].copy(), 8)
    assert written.pixels.max() == 230
    assert covered(written).pixels.max() < 60
    empty = DecodedImage(np.full((300, 400, 1), 40, dtype=np.uint8), 8)
    assert covered(empty) is empty


def test_the_class_shown_is_the_positive_one_or_else_the_one_answered() -> None:
    card = card_of(classes=("A", "B"))
    said = Prediction("ok", "A", 0.7, {"A": 0.7, "B": 0.3})
    assert label_of(card, said) == "A"
    assert label_of(card.model_copy(update={"positive": "B"}), said) == "B"
    several = Prediction("ok", "A|B", 0.9, {"A": 0.8, "B": 0.9})
    assert label_of(card, several) == "B"
    assert label_of(card, Prediction("ok", "", 0.2, {"A": 0.2, "B": 0.1})) == "A"


def test_a_model_is_asked_whether_it_has_maps() -> None:
    assert gives_maps(predictor())
    assert not gives_maps(predictor(blind=True))


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("a folder/scan 7.jpeg", "scan-7"),
        ("set.zip#inside/b.png", "set-inside-b.png"),
        ("..", "image"),
        ("x" * 90 + ".png", "x" * 40),
    ],
)
def test_names_are_plain_and_short(path: str, stem: str) -> None:
    assert safe_stem(path) == stem


def test_maps_that_do_not_change_with_the_weights_are_withheld() -> None:
    assert withheld_for(0.5) == ""
    assert "rank correlation 0.51" in withheld_for(0.51)
    assert "same everywhere" in withheld_for(None)


def test_of_an_ensemble_holds_what_holds_for_every_member() -> None:
    weaker = PASSED.model_copy(update={"similarity": {"head": 0.2, "all": 0.3}, "full": 4.0})
    together = combined([PASSED, weaker])
    assert (together.similarity, together.full, together.passed) == ({"head": 0.4, "all": 0.3}, 3.0, True)
    failed = weaker.model_copy(update={"passed": False, "withheld": "why"})
    assert combined([PASSED, failed]).in_words() == "no heat maps: why"
    finer = PASSED.model_copy(update={"side": 8})
    assert "different sizes" in combined([PASSED, finer]).withheld
