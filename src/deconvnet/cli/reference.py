"""The command reference, docs/commands.md, made of the commands themselves."""

import inspect
from collections.abc import Callable, Iterable, Iterator
from inspect import Parameter
from typing import Any, Literal, get_args, get_origin

from typer.models import ArgumentInfo, CommandInfo

from deconvnet.cli.commands import app
from deconvnet.cli.options import PANEL

INTRODUCTION = """\
# Commands

<!-- Made by `python -m deconvnet.cli.reference > docs/commands.md`. Change the commands, not this page. -->

`python -m deconvnet` does the same as `deconvnet`. `deconvnet --help` and `deconvnet COMMAND --help` say in
short what this page says. `deconvnet --version` prints the version.

Results go to stdout, faults and progress to stderr. A picture is written wholly or not at all, and never over
a file that is there unless `--force` is given.

| exit code | what it means |
|---|---|
| 0 | all is done |
| 1 | a fault, told in one line; or one or more of several photos could not be read |
| 2 | the command line has an unknown flag, or lacks something |
| 130 | interrupted |
"""
EXAMPLES = {
    "explain": """\
deconvnet explain sample:chelsea
deconvnet explain holiday/*.jpg -o explained --json > explained.json
deconvnet explain sample:coffee --target "golf ball" --rules guided -o coffee.png
""",
    "responsible": """\
deconvnet responsible sample:chelsea
deconvnet responsible holiday/*.jpg --layer relu3 -k 4 -o units
deconvnet responsible sample:rocket --target "golf ball" --rules gradient -o rocket.png
""",
    "report": """\
deconvnet report sample:chelsea
deconvnet report holiday/*.jpg -o holiday.html --maps 16 --budget 20MB
deconvnet report sample:rocket --model torchvision:squeezenet1_1 --layer features.7 --layer features.12
""",
    "project": """\
deconvnet project sample:chelsea --layer relu3
deconvnet project sample:chelsea --layer relu3 --channel 145,119,8 --position 2,1 -o units.png
deconvnet project sample:rocket --layer features.12 --channel top:16 --model torchvision:squeezenet1_1
""",
    "steps": """\
deconvnet steps sample:chelsea --layer relu5
deconvnet steps sample:chelsea --layer relu3 --channel 145 --position 2,2 --to relu1 -o steps.png
deconvnet steps sample:coffee --target "golf ball" --json
""",
    "compare": """\
deconvnet compare deconvnet guided sample:chelsea --layer relu3 --channel 145
deconvnet compare zfnet-mini early.safetensors sample:chelsea --layer relu5 --channel 3,7 --position 2,1 -o training.png
deconvnet compare torchvision:vgg16 torchvision:vgg16@random sample:coffee --layer features.15 --channel top:4
""",
    "atlas": """\
deconvnet atlas holiday -o atlas
deconvnet atlas photos.txt -o atlas --layer features.7 --layer features.12 --model torchvision:squeezenet1_1 --workers 4
deconvnet atlas "shards-{0000..0012}.tar" -o part-3 --shard 3/64 --resume
deconvnet atlas holiday -o atlas --engine ray --workers 2
""",
    "atlas-merge": """\
deconvnet atlas-merge part-0 part-1 part-2 -o atlas --photos "shards-{0000..0012}.tar"
""",
    "sheet": """\
deconvnet sheet atlas --layer relu5
deconvnet sheet atlas --layer relu5 --channels 0-15,47 --columns 4 -o relu5.pdf
""",
    "learn": """\
deconvnet learn holiday -o learned
deconvnet learn photos.txt -o learned --layers 15,50,100 --lam 0.3,0.6,1 --epochs 2 --resume
deconvnet learn holiday -o colours --colour --layers 32 --filter 9 --pool none --limit 500
""",
    "learned": """\
deconvnet learned learned
deconvnet learned learned --photo sample:chelsea -o pictures --force
""",
    "layers": """\
deconvnet layers
deconvnet layers --model torchvision:resnet18@random --json
deconvnet layers --model net.py:make --rules guided
""",
    "demo": "deconvnet demo\n",
}


Flag = tuple[Parameter, Any]  # with what typer knows of it


def reference() -> str:
    """The page, as Markdown."""
    commands = {name_of(command): command.callback for command in app.registered_commands if command.callback}
    shared = [flag for flag in _flags(commands["explain"]) if flag[1].rich_help_panel == PANEL]
    pages = ["\n".join(_page(name, callback)) for name, callback in commands.items()]
    return "\n".join([INTRODUCTION, *pages, "## Flags that say which network", "", *_table(shared), ""])


def name_of(command: CommandInfo) -> str:
    """What a command is called."""
    return command.name or str(getattr(command.callback, "__name__", ""))


def _page(name: str, callback: Callable[..., Any]) -> Iterator[str]:
    """One command."""
    flags = _flags(callback)
    arguments = "".join(f" {info.metavar}" for _, info in flags if isinstance(info, ArgumentInfo))
    own = [flag for flag in flags if flag[1].rich_help_panel != PANEL]
    yield from (f"## deconvnet {name}", "", f"    deconvnet {name}{arguments} [FLAGS]", "")
    yield from (inspect.getdoc(callback) or "", "", "```console", EXAMPLES[name].rstrip(), "```", "")
    yield from _table(own)
    yield ""
    if len(own) < len(flags):
        yield from ("And the [flags that say which network](#flags-that-say-which-network).", "")


def _flags(callback: Callable[..., Any]) -> list[Flag]:
    return [(p, get_args(p.annotation)[1]) for p in inspect.signature(callback, eval_str=True).parameters.values()]


def _table(flags: Iterable[Flag]) -> Iterator[str]:
    yield "| flag | what it says | default |"
    yield "|---|---|---|"
    for parameter, info in flags:
        words = info.help + _choices(parameter)
        yield f"| {_spelling(parameter, info)} | {words} | {_default(parameter, info)} |"


def _spelling(parameter: Parameter, info: Any) -> str:
    if isinstance(info, ArgumentInfo):
        return f"`{info.metavar}`"
    # inside Annotated, typer keeps the first name as the default
    named = [name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str)]
    return ", ".join(f"`{name}`" for name in named or [f"--{parameter.name.replace('_', '-')}"])


def _choices(parameter: Parameter) -> str:
    kind = get_args(parameter.annotation)[0]
    return f" One of {', '.join(f'`{name}`' for name in get_args(kind))}." if get_origin(kind) is Literal else ""


def _default(parameter: Parameter, info: Any) -> str:
    if isinstance(info.show_default, str):
        return info.show_default
    if parameter.default is Parameter.empty:
        return "has to be given"
    return "" if parameter.default in (None, False) else f"`{parameter.default}`"


if __name__ == "__main__":
    print(reference(), end="")
