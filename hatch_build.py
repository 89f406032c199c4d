"""The editable install: it exposes the packages, and not this folder, whose `tests` and `studies` would hide a user's own.

Hatchling can do that by itself (`dev-mode-exact`), but through a module that pytest warns about in every session of every project.
A line of a .pth file does the same, and there is no module to warn about.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# `exactness_samplers` needs no line: the folder `samplers` holds only packages, and is listed in `dev-mode-dirs`.
MODULES = {"exactness": "exactness/__init__.py", "pytest_exactness": "pytest_exactness.py"}


class EditableHook(BuildHookInterface):
    """Adds the .pth file to an editable install, and changes no other build."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "editable":
            return
        finder = "editables.redirector.RedirectingFinder"
        maps = [f"{finder}.map_module({name!r}, {str(Path(self.root, file))!r})" for name, file in MODULES.items()]
        lines = Path(tempfile.mkdtemp(), "modules.pth")
        lines.write_text(f"import editables.redirector; {finder}.install(); {'; '.join(maps)}\n", encoding="utf-8")
        build_data["force_include_editable"][str(lines)] = "_exactness_modules.pth"
        build_data["dependencies"].append("editables>=0.5")
