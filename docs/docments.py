"Sphinx extension: comments beside parameters (docments) become lists of parameters, and names in backticks become links"
import inspect, re
from dataclasses import MISSING, fields, is_dataclass

from docutils import nodes
from fastcore.docments import docments
from sphinx.transforms.post_transforms import SphinxPostTransform

import pages


def as_rst(
    text: str,  # as docstrings and comments are written: plain, with `code` in backticks
) -> str:
    "`text` for Sphinx: code stays code, and nothing else is markup"
    parts = re.split(r"(`[^`]+`)", text)
    return "".join(f"``{p.strip('`')}``" if p.startswith("`") else re.sub(r"([*_|\\])", r"\\\1", p) for p in parts)


def type_name(anno) -> str:
    "A type as one reads it"
    if anno in (inspect.Parameter.empty, None): return ""
    return anno.__name__ if isinstance(anno, type) and not getattr(anno, "__args__", None) else str(anno).replace("typing.", "")


def parameter_list(
    obj,  # a function, method or class
):  # lines of reStructuredText
    "A field list made of the comments beside the parameters of `obj`"
    described = docments(obj, full=True)
    result = described.pop("return", None)
    own = {f.name for f in fields(obj) if f.init} if is_dataclass(obj) else None
    for name, about in described.items():
        if name in ("self", "cls") or own is not None and name not in own: continue
        comment, kind = about["docment"] or "", type_name(about["anno"])
        if comment or kind: yield f":param {name}: {as_rst(comment)}"
        if kind: yield f":type {name}: {kind}"
    if result and result["docment"]: yield f":returns: {as_rst(result['docment'])}"
    if result and (kind := type_name(result["anno"])): yield f":rtype: {kind}"


def facts(
    cls,  # a class
):  # lines of reStructuredText
    "What a transform says of its parameter"
    from misas.core import Transform
    if not issubclass(cls, Transform) or cls.param == "value": return
    unit = f" ({cls.unit})" if cls.unit else ""
    values = [f"{v:.3g}" if isinstance(v, float) else str(v) for v in cls.values] if isinstance(cls.values, tuple) else []
    if len(values) > 8: values = [*values[:3], "...", *values[-3:]]
    yield f":parameter: ``{cls.param}``{as_rst(unit)}, {cls.domain}"
    if cls.neutral is not None: yield f":neutral value: {cls.neutral:g}" if isinstance(cls.neutral, (int, float)) else f":neutral value: {cls.neutral}"
    if values: yield f":default values: {', '.join(values)}"


def add_docments(app, what, name, obj, options, lines):
    "Rewrite a docstring in place, with what the comments say added to it"
    if what == "module": return lines.clear()  # it stands at the top of the page
    lines[:] = [as_rst(line) for line in lines]
    try: extra = [*(facts(obj) if what == "class" else ()), *parameter_list(obj)] if what in ("class", "function", "method") else []
    except (TypeError, OSError): extra = []  # no source to read comments from
    if extra: lines += ["", *extra, ""]


class LinkNames(SphinxPostTransform):
    "`code` that is the name of something public becomes a link to its reference"
    default_priority = 900

    def run(self):
        targets = pages.public()
        for node in list(self.document.findall(nodes.literal)):
            name = node.astext().removesuffix("()")
            inside = {type(p).__name__ for p in parents(node)}
            if name not in targets or inside & {"reference", "title", "desc_signature", "pending_xref"}: continue
            module = targets[name]
            uri = self.app.builder.get_relative_uri(self.env.docname, f"api/{module}") if self.env.docname != f"api/{module}" else ""
            link = nodes.reference("", "", internal=True, refuri=f"{uri}#misas.{module}.{name}")
            node.replace_self(link)
            link += node


def parents(node):
    while node := node.parent: yield node


def setup(app):
    app.connect("autodoc-process-docstring", add_docments)
    app.add_post_transform(LinkNames)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
