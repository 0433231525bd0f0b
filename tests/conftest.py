"""What all tests share: shapes in signatures are checked, and parallel workers leave each other room."""

import os

import torch
from jaxtyping import install_import_hook

install_import_hook("deconvnet", "shapes.checked")

if "PYTEST_XDIST_WORKER" in os.environ:
    torch.set_num_threads(1)
