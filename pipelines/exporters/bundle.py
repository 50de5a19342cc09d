"""Make one Python file of a module and the modules of this project that it imports."""

import ast
import inspect
import sys
from importlib import import_module
from types import ModuleType

_OURS = "pipelines."


def bundle(module: ModuleType) -> str:
    """Return a source that imports nothing of this project.

    The docstring of the module comes first, then the imports of all, then the modules that it
    imports, each before what uses it, and its own code at last.

    Args:
        module: It and what it imports of ours use ``from pipelines.x import name`` only, and no
            two of them give different things one name.
    """
    docstring = f'"""{module.__doc__}"""'
    imports: list[ast.Import | ast.ImportFrom] = []
    parts: dict[str, str] = {}
    _collect(module, imports, parts)
    return "\n\n\n".join([f"{docstring}\n\n{_merged(imports)}", *parts.values()]) + "\n"


def _collect(
    module: ModuleType, imports: list[ast.Import | ast.ImportFrom], parts: dict[str, str]
) -> None:
    source = inspect.getsource(module)
    lines, statements = source.splitlines(), ast.parse(source).body
    code = []
    for statement in statements[1:]:  # the first is the docstring
        text = "\n".join(lines[_first_line(statement) - 1 : statement.end_lineno])
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith(_OURS):
            if statement.module not in parts:
                _collect(import_module(str(statement.module)), imports, parts)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            imports.append(statement)
        else:
            code.append(text)
    parts[module.__name__] = "\n\n\n".join(code)


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(d.lineno for d in decorators)])


def _merged(imports: list[ast.Import | ast.ImportFrom]) -> str:
    """Return each import once, those of the standard library first."""
    whole = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names: dict[str, set[str]] = {}
    for node in imports:
        if isinstance(node, ast.ImportFrom):
            names.setdefault(str(node.module), set()).update(map(ast.unparse, node.names))
    lines = [(name, f"import {name}") for name in whole]
    lines += [(name, f"from {name} import {', '.join(sorted(names[name]))}") for name in names]
    standard = [line for line in lines if line[0].split(".")[0] in sys.stdlib_module_names]
    blocks = (standard, [line for line in lines if line not in standard])
    return "\n\n".join("\n".join(_in_order(block)) for block in blocks)


def _in_order(lines: list[tuple[str, str]]) -> list[str]:
    return [line for _, line in sorted(lines, key=lambda pair: (pair[1][0] == "f", pair[0]))]
