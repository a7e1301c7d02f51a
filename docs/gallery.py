"""The gallery: every transform on a phantom, a picture each, made when the site is built"""

import warnings
from pathlib import Path

import numpy as np
from palette import with_palette

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
    "All transforms of misas that can be called by their names, grouped by the module that holds them"
    import misas as ms

    groups: dict[str, list] = {module: [] for module in GROUPS}
    own = [cls for cls in ms.known_transforms().values() if cls.__module__.startswith("misas.")]
    for cls in own:
        groups.setdefault(cls.__module__.rpartition(".")[2], []).append(cls)
    return {module: classes for module, classes in groups.items() if classes}


def heading(module: str) -> str:
    "The heading of a group; a module without one of its own has the first line of its docstring"
    import misas.transforms

    made = getattr(misas.transforms, module, None)
    return GROUPS.get(module) or ((made and made.__doc__) or module).split("\n")[0]


def value_words(transform, value) -> str:
    "A value with its unit, as in plots"
    import misas as ms

    try:
        return ms.value_text(transform, value).removeprefix(f"{transform.param} = ")
    except (TypeError, ValueError):
        return str(value)


def facts(cls, case) -> str:
    "Class, parameter, unit, neutral value and range of a transform, in a line"
    transform = cls()
    values = list(transform.values_for(case))
    neutral = "none" if transform.neutral is None else value_words(transform, transform.neutral)
    unit = f" in {transform.unit}" if transform.unit else ""
    tried = f"{value_words(transform, values[0])} … {value_words(transform, values[-1])}"
    return f"`{cls.__name__}` · parameter `{transform.param}`{unit} · neutral {neutral} · by default {tried}"


def bright_near(image, prompt):
    "A model that is told where to look: what is bright around the middle of a box, or around a click"
    x, y = [sum(prompt[i::2]) / len(prompt[i::2]) for i in (0, 1)]
    rows, columns = np.indices(image.shape[-2:])
    return (image.reshape(rows.shape) > 0.35) & ((columns - x) ** 2 + (rows - y) ** 2 < 150)


def asks_model(cls) -> bool:
    "Do the changes of a transform depend on the model?"
    from misas.core.transform import Transform

    return cls.for_model is not Transform.for_model


def model_for(cls):
    "The model that a transform asks, or None if it asks none"
    import misas as ms

    if not asks_model(cls):
        return None
    prompted = [ms.PromptModel(bright_near, kind=kind, prompted=[1]) for kind in ("box", "click")]
    for model in [ms.as_model(ms.demo_model()), *prompted]:
        try:
            cls().for_model(model)
            return model
        except ValueError:  # it takes no such prompt
            continue
    raise ValueError(f"no model for {cls.name} in the gallery")


def drawn(cls, case, values):
    "A transform at some values: of one that asks a model, with what the model says"
    import misas as ms

    model = model_for(cls)
    if model is None:
        return ms.plot_transform(case, cls(), values, columns=SHOWN, panel=1.6)
    series = ms.get_series(model, case, cls(), values, progress=False)
    return ms.plot_series(series, columns=SHOWN, panel=1.6)


def write_picture(
    cls,  # class of a transform
    case,  # `Case` to show it on
    path: Path,
):
    "The transform at a few values, as a PNG; a picture that is there already stays"

    if path.exists():
        return
    values = list(cls().values_for(case))
    picked = [values[round(k * (len(values) - 1) / (SHOWN - 1))] for k in range(SHOWN)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a phantom is no CT: some transforms say so
        figure = drawn(cls, case, list(dict.fromkeys(picked)))
        figure.savefig(path, dpi=80, facecolor="white")
    path.write_bytes(with_palette(path.read_bytes()))


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
        page += f"\n## {heading(module)}\n"
        for cls in classes:
            path = folder / f"{cls.name}.png"
            case = own.get(module) or (deep if needs_volume(cls, flat) else flat)
            write_picture(cls, case, path)
            about = (cls.__doc__ or "").split("\n")[0]
            source = f"/api/transforms/{module}.md"
            explained = f" · [how it is made, with its source]({source})" if (DOCS / source.strip("/")).exists() else ""
            page += f"\n### {cls.name}\n\n{about}\n\n![{cls.name}]({path.name})\n\n{facts(cls, case)}{explained}\n"
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
    if asks_model(cls):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            transform(flat, list(transform.values_for(flat))[0])
        except ValueError:
            return True
    return False
