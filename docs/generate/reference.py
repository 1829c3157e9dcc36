"""The reference: a page for each package (and module beside them) of `reasongym` and `agents`, from their docstrings."""

from __future__ import annotations

from checkout import ROOT

INTERNAL = ("reasongym.engine", "reasongym.render", "reasongym.jit", "reasongym.__main__", "reasongym.cli", "reasongym.bench")


def pages() -> dict[str, str]:
    """The pages of the reference by their place in the site."""
    found = {}
    for top in ("reasongym", "agents"):
        for room, modules in rooms(top).items():
            blocks = "\n\n".join(f"::: {module}" for module in modules)
            found[f"reference/{room}.md"] = f"# {room}\n\n{blocks}\n"
    return found


def rooms(top: str) -> dict[str, list[str]]:
    """Packages with their public modules, in reading order of names; a module beside packages belongs to its parent."""
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / top).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        package = ".".join(parts[:-1])
        module = package if parts[-1] == "__init__" else ".".join(parts)
        if not module.startswith(INTERNAL):
            found.setdefault(package, []).append(module)
    return found
