"""Sphinx extension: docments become lists of parameters, and names in backticks become links"""

import inspect
import itertools
import re
import typing
import warnings
from dataclasses import fields, is_dataclass

import pages
from docutils import nodes
from fastcore.docments import docments
from sphinx.transforms.post_transforms import SphinxPostTransform

warnings.filterwarnings("ignore", module="fastcore.docscrape")  # it reads docstrings of other packages too


def as_rst(
    text: str,  # as docstrings and comments are written: plain, with `code` in backticks
) -> str:
    "`text` for Sphinx: code stays code, and nothing else is markup"
    parts = re.split(r"(`[^`]+`)", text)
    plain = (re.sub(r"([*_|\\])", r"\\\1", p) for p in parts[::2])
    # an escaped blank, which is not shown, lets code and letters touch
    code = (f"\\ ``{p.strip('`')}``\\ " for p in parts[1::2])
    return "".join(p for pair in itertools.zip_longest(plain, code, fillvalue="") for p in pair)


def as_rst_lines(
    lines: list[str],  # of a docstring
) -> list[str]:
    "A docstring for Sphinx: examples, from `>>>` to the next blank line, stay as they are"
    made = []
    in_example = False
    for line in lines:
        in_example = line.lstrip().startswith(">>>") or (in_example and line.strip() != "")
        made.append(line if in_example else as_rst(line))
    return made


def type_name(anno) -> str:
    "A type as one reads it, without the modules that its parts come from"
    if anno in (inspect.Parameter.empty, None, type(None)):
        return ""  # None: only a default
    if isinstance(anno, type) and not getattr(anno, "__args__", None):
        return anno.__name__
    return re.sub(r"[\w.]+\.(\w+)", r"\1", str(anno))


def comment_and_type(docment, anno, **_) -> tuple:
    "What is said of a parameter, and its type; options of the command line say it in their help"
    if typing.get_origin(anno) is not typing.Annotated:
        return docment or "", type_name(anno)
    anno, option = typing.get_args(anno)[:2]
    given = (
        [t for t in typing.get_args(anno) if t is not type(None)] if typing.get_origin(anno) is typing.Union else [anno]
    )
    return docment or getattr(option, "help", None) or "", type_name(given[0])


def described(
    obj,  # a function, method or class
) -> dict:  # name to (comment, type); "return" may be one of the names
    "The comments beside the parameters of `obj`; those of inherited fields are looked up where they were written"
    fielded = is_dataclass(obj) and "__dataclass_params__" in vars(obj)
    # a class that inherits from a dataclass may have a constructor of its own
    if isinstance(obj, type) and not fielded and "__init__" in vars(obj):
        obj = obj.__init__
    found = {name: comment_and_type(**about) for name, about in docments(obj, full=True, args_kwargs=True).items()}
    if not fielded:
        return found
    own, above = {f.name for f in fields(obj) if f.init}, [base for base in obj.__mro__[1:] if is_dataclass(base)]
    inherited = {k: v for base in reversed(above) for k, v in described(base).items() if v[0]}
    return {k: v if v[0] else inherited.get(k, v) for k, v in found.items() if k in own}


def parameter_list(
    obj,  # a function, method or class
):  # lines of reStructuredText
    "A field list made of the comments beside the parameters of `obj`"
    about = described(obj)
    result, kind = about.pop("return", ("", ""))
    for name, (comment, anno) in about.items():
        if name in ("self", "cls") or not comment and not anno:
            continue
        yield f":param {name}: {as_rst(comment)}"
        if anno:
            yield f":type {name}: {anno}"
    if result:
        yield f":returns: {as_rst(result)}"
    if kind:
        yield f":rtype: {kind}"


def amount(value) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def parameter_swept(
    cls,  # a class
):  # lines of reStructuredText
    "What a transform says of its parameter"
    from misas.core.transform import Transform

    if not issubclass(cls, Transform) or cls.param == "value":
        return
    about = f"``{cls.param}``" + (f" ({as_rst(cls.unit)})" if cls.unit else "")
    if not cls.categorical:
        about += f", {cls.domain}"
    if cls.neutral is not None:
        about += f"; neutral: {as_rst(amount(cls.neutral))}"
    values = [amount(v) for v in cls.values] if isinstance(cls.values, tuple) else []
    if values:
        about += f"; by default: {as_rst(', '.join(values if len(values) < 9 else [*values[:2], '...', *values[-2:]]))}"
    yield f":sweeps: {about}"


def add_docments(app, what, name, obj, options, lines):
    "Rewrite a docstring in place, with what the comments say added to it"
    if what == "module":
        return lines.clear()  # it stands at the top of the page
    lines[:] = as_rst_lines(lines)
    try:
        extra = (
            [*(parameter_swept(obj) if what == "class" else ()), *parameter_list(obj)]
            if what in ("class", "function", "method")
            else []
        )
    except (TypeError, OSError):
        extra = []  # no source to read comments from
    if extra:
        lines += ["", *extra, ""]


def skip_foreign(app, what, name, obj, skip, options):
    "Leave out what a base class of another package put into a class"
    return skip or not getattr(obj, "__module__", "misas").startswith("misas")


class LinkNames(SphinxPostTransform):
    "`code` that is the name of something public becomes a link to its reference"

    default_priority = 900

    def run(self):
        targets = {name: module for name, module in pages.public().items() if module != "cli"}  # `demo` is a word there
        for node in list(self.document.findall(nodes.literal)):
            name = re.sub(r"\(.*\)$", "", node.astext())
            inside = {type(p).__name__ for p in parents(node)}
            if name not in targets or inside & {"reference", "title", "desc_signature", "pending_xref"}:
                continue
            module = targets[name]
            page = pages.reference_page(module)
            same = self.env.docname == page
            uri = "" if same else self.app.builder.get_relative_uri(self.env.docname, page)
            link = nodes.reference("", "", internal=True, refuri=f"{uri}#misas.{module}.{name}")
            node.replace_self(link)
            link += node


def parents(node):
    while node := node.parent:
        yield node


def setup(app):
    app.connect("autodoc-process-docstring", add_docments)
    app.connect("autodoc-skip-member", skip_foreign)
    app.add_post_transform(LinkNames)
    return dict(parallel_read_safe=True, parallel_write_safe=True)
