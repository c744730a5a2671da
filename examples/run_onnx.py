"""Ask a model that `medimg export` wrote, without medimg: python run_onnx.py model.onnx IMAGE (8 bits, PNG or JPEG)."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

session = onnxruntime.InferenceSession(sys.argv[1])
about = {name: json.loads(text) for name, text in session.get_modelmeta().custom_metadata_map.items()}
recipe, picture = about["recipe"], Image.open(sys.argv[2])
assert recipe["bits"] == 8 and not recipe["clahe"] and not recipe["border_crop"], "its pixels take medimg"
side, mode = recipe["size_px"], recipe["resize_mode"]
enough = (max if mode == "pad" else min)(picture.size) // side  # a large JPEG is decoded smaller
scale = next(by for by in (8, 4, 2, 1) if by <= max(1, enough))
drafted = picture.draft(picture.mode, tuple(max(1, px // scale) for px in picture.size))
wide, high = drafted[1][2:] if drafted else picture.size
wide, high = (high, wide) if picture.getexif().get(0x0112, 1) >= 5 else (wide, high)  # it lies on its side
picture = ImageOps.exif_transpose(picture).convert("L" if recipe["channels"] == 1 else "RGB")
edge, scale = min(wide, high), side / max(wide, high)
middle = ((wide - edge) / 2, (high - edge) / 2, (wide + edge) / 2, (high + edge) / 2)
inner = (max(1, round(wide * scale)), max(1, round(high * scale))) if mode == "pad" else (side, side)
box = middle if mode == "crop" else (0, 0, wide, high)
picture = picture.resize(inner, Image.Resampling.BILINEAR, box)
left, top = (side - inner[0]) // 2, (side - inner[1]) // 2
square = picture.crop((-left, -top, side - left, side - top))  # what lies outside is black
pixels = np.asarray(square, np.float32).reshape(1, side, side, recipe["channels"])
print(dict(zip(about["classes"], session.run(None, {"pixels": pixels})[0][0].tolist(), strict=True)))
