"""The site: README, notebooks and an API reference

sphinx-build -W --keep-going docs _site/html
"""

import sys
from importlib.metadata import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import links

project = "misas"
author = metadata("misas")["Author"]
copyright = author
release = version = metadata("misas")["Version"]

extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "myst_nb", "docments", "pages"]
exclude_patterns = ["_build", "Thumbs.db", ".DS_Store", "**/made/*.md"]

# Notebooks are shown as they were saved: their tests run them, not the site.
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_mime_priority_overrides = [("html", "image/gif", 15)]
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # they stand in the list of parameters
autodoc_inherit_docstrings = False
python_use_unqualified_type_names = True
add_module_names = False
smartquotes_action = "D"  # dashes; quotes stay as they are, for comments beside parameters name strings
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "misas"
html_static_path = ["_static"]
html_css_files = ["misas.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = dict(
    source_repository=links.repository(),
    source_branch="main",
    source_directory="docs/",
    top_of_page_buttons=[],
    light_css_variables={"color-brand-primary": "#1f5a92", "color-brand-content": "#1f5a92"},
    dark_css_variables={"color-brand-primary": "#7db4e8", "color-brand-content": "#7db4e8"},
)
