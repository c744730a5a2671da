"""Ask a model that `medimg export` wrote, without medimg: python run_onnx.py model.onnx IMAGE (8 bits, PNG or JPEG)."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1])
about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
recipe, point, picture = about["recipe"], about["threshold"], Image.open(sys.argv[2])
assert recipe["bits"] == 8 and not recipe["clahe"] and not recipe["border_crop"], "its pixels take medimg"
side, mode = recipe["size_px"], recipe["resize_mode"]
enough = (max if mode == "pad" else min)(picture.size) // side  # a large JPEG is decoded smaller
by = 2 ** (min(max(enough, 1), 8).bit_length() - 1)
drafted = picture.draft(picture.mode, tuple(max(1, px // by) for px in picture.size))
wide, high = drafted[1][2:] if drafted else picture.size
wide, high = (high, wide) if picture.getexif().get(0x0112, 1) >= 5 else (wide, high)  # it lies on its side
picture = ImageOps.exif_transpose(picture).convert("L" if recipe["channels"] == 1 else "RGB")
inner = [max(1, round(px * (side / max(wide, high)))) if mode == "pad" else side for px in (wide, high)]
cut = (max(0, wide - high) / 2, max(0, high - wide) / 2) if mode == "crop" else (0, 0)
picture = picture.resize(inner, Image.Resampling.BILINEAR, (*cut, wide - cut[0], high - cut[1]))
left, top = (side - inner[0]) // 2, (side - inner[1]) // 2
picture = picture.crop((-left, -top, side - left, side - top))  # what lies outside is black
pixels = np.asarray(picture, np.float32).reshape(1, side, side, recipe["channels"])
found = session.run(None, {"pixels": pixels})[0][0].tolist()
print(answer := dict(zip(about["classes"], found, strict=True)))
print(point and sum(answer[name] for name in about["positives"]) >= point["value"], file=sys.stderr)
