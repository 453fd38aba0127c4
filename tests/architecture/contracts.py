"""The import-linter contract that says what a package may import, instead of what it may not."""

import sys
from typing import Any, cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output
from importlinter.application import contract_utils
from importlinter.domain.imports import Module


class AllowOnly(Contract):
    """A package imports itself, the standard library and what is listed.

    Configuration options:
        - source_module: the package.
        - allowed_modules: the packages that it may import.
        - ignore_imports: exceptions, as ``importer -> imported``. (Optional.)
    """

    source_module = fields.ModuleField()
    allowed_modules = fields.ListField(subfield=fields.StringField(), required=False, default=[])
    ignore_imports = fields.SetField(subfield=fields.ImportExpressionField(), required=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Find the imports that are not allowed."""
        contract_utils.remove_ignored_imports(
            graph, cast("Any", self.ignore_imports), contract_utils.AlertLevel.NONE
        )
        source = cast("Module", self.source_module).name
        if source not in graph.modules:
            return ContractCheck(kept=False, metadata={"imports": [f"{source} does not exist"]})
        allowed = (source, *cast("list[str]", self.allowed_modules))
        imports = [
            f"{importer} imports {imported}"
            for importer in sorted({source, *graph.find_descendants(source)})
            for imported in sorted(graph.find_modules_directly_imported_by(importer))
            if not _is_allowed(imported, allowed)
        ]
        return ContractCheck(kept=not imports, metadata={"imports": imports})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each import that is not allowed."""
        for line in cast("list[str]", check.metadata["imports"]):
            output.print_error(line)


def _is_allowed(imported: str, allowed: tuple[str, ...]) -> bool:
    if imported.partition(".")[0] in sys.stdlib_module_names:
        return True
    return any(imported == module or imported.startswith(f"{module}.") for module in allowed)
