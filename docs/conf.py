"""Settings of Sphinx: ``sphinx-build -W docs docs/_build``."""

project = "SpinLoop"
author = "SpinLoop developers"
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "SpinLoop"
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
