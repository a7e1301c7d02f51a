"""The gallery: every transform on a phantom, a picture each, made when the site is built"""

import warnings
from pathlib import Path

DOCS = Path(__file__).resolve().parent
SHOWN = 5  # values of each transform

HEAD = """# Gallery

Every transform that misas knows, at a few of its values, on a phantom of the heart or a picture of its own world.
`plot_transform(case, Rotate())` makes such a picture of an image of yours. The coloured outline is the truth: where
anatomy moves, it moves along.
"""

GROUPS = {
    "basic": "Geometry and intensity",
    "geometry": "Geometry in mm and degrees",
    "kspace": "MR artefacts made in k-space",
    "mri": "MR artefacts made in the image",
    "ct": "CT",
    "projections": "CT artefacts made in the sinogram",
    "photo": "Photographs and microscopy",
    "ultrasound": "Ultrasound",
    "endoscopy": "Endoscopy",
    "histology": "Stained sections",
    "fundus": "Fundus photographs",
    "phase": "Contrast medium in CT",
    "tissues": "Contrast between tissues in MR",
    "snr": "Signal-to-noise ratio of MR",
}


def own_cases() -> dict:  # {module of misas.transforms: `Case`}
    "What transforms of a module are shown on, where a phantom of the heart would not do"
    import numpy as np
    from PIL import Image
    from skimage import data

    import misas as ms

    retina = ms.load_case(np.asarray(Image.fromarray(data.retina()).resize((160, 160))))
    section = ms.load_case(np.ascontiguousarray(data.immunohistochemistry()[180:308, 180:308]))
    heart = ms.phantom((128, 128), seed=3)
    envelope = heart.image.clamp(min=1e-3)
    in_hu = heart.image * 300 - 130  # blood has 50 HU, as it has without contrast medium
    return {
        "ultrasound": heart.replace(image=1 + envelope.log10() / 3),  # compressed: 60 dB from black to white
        "endoscopy": retina,
        "histology": section,
        "fundus": retina,
        "phase": heart.replace(image=in_hu, scale=(-130.0, 250.0)),
    }


def known_by_module() -> dict[str, list]:  # {module of misas.transforms: classes}
    "The transforms that can be called by their names, grouped by the module that holds them"
    import misas as ms

    groups = {module: [] for module in GROUPS}
    for cls in ms.known_transforms().values():
        module = cls.__module__.rpartition(".")[2]
        if module in groups:
            groups[module].append(cls)
    return groups


def write_picture(
    cls,  # class of a transform
    case,  # `Case` to show it on
    path: Path,
):
    "The transform at a few values, as a PNG; a picture that is there already stays"
    import misas as ms

    if path.exists():
        return
    transform = cls()
    values = list(transform.values_for(case))
    picked = [values[round(k * (len(values) - 1) / (SHOWN - 1))] for k in range(SHOWN)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a phantom is no CT: some transforms say so
        figure = ms.plot_transform(case, transform, list(dict.fromkeys(picked)), columns=SHOWN, panel=1.6)
        figure.savefig(path, dpi=80, facecolor="white")


def write_gallery():
    "docs/gallery/: one page, and a picture for each transform"
    import misas as ms

    folder = DOCS / "gallery"
    folder.mkdir(exist_ok=True)
    flat = ms.phantom((128, 128), seed=3)
    deep = ms.phantom((12, 96, 96), seed=3)
    own = own_cases()
    page = HEAD + animation(folder)
    for module, classes in known_by_module().items():
        page += f"\n## {GROUPS[module]}\n"
        for cls in classes:
            path = folder / f"{cls.name}.png"
            case = own.get(module) or (deep if needs_volume(cls, flat) else flat)
            write_picture(cls, case, path)
            about = (cls.__doc__ or "").split("\n")[0]
            page += f"\n### {cls.name}\n\n`{cls.__name__}`: {about}\n\n![{cls.name}]({path.name})\n"
    (folder / "index.md").write_text(page, encoding="utf-8")


def animation(folder: Path) -> str:
    "A model's prediction while the image is rotated, as an animated GIF, and the text that shows it"
    import misas as ms

    path = folder / "rotation.gif"
    if not path.exists():
        case = ms.phantom((128, 128), seed=3)
        model = ms.as_model(ms.demo_model(), labels=["background", "LV", "MY", "RV"])
        series = ms.get_series(model, case, ms.Rotate(), range(-180, 181, 15), progress=False)
        ms.gif_series(series, path)
    return "\n![The prediction of the demo model while the image is rotated](rotation.gif)\n"


def needs_volume(cls, flat) -> bool:
    "Does the transform refuse an image of two dimensions?"
    transform = cls()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            transform(flat, list(transform.values_for(flat))[0])
        except ValueError:
            return True
    return False
