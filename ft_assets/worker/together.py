"""Several processes of this machine carry out one order, under torchrun. Where a process finds its place:
`training.processes`.

Nothing listens on another interface than the loopback. torchrun's own store would, so its agent, which is alone, writes
to a file instead; the store of the processes is made by the first of them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

__all__ = ["carry_out_together"]

_LOOPBACK = "127.0.0.1"
_ENVIRONMENT = {
    # The agent opens no store for the processes: it would listen on all interfaces.
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    # What they say to each other; a user who knows better has set it.
    "GLOO_SOCKET_IFNAME": "lo",
    "NCCL_SOCKET_IFNAME": "lo",
}


def carry_out_together(work_order: Path, processes: int) -> int:
    """Start so many workers with one order, and see them through.

    Returns:
        The exit code of the one that failed first (128 + N if signal N ended it); 0: none did.
    """
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory(prefix="ft_assets-together-") as folder:
        try:
            run.main(
                [
                    f"--nproc-per-node={processes}",
                    f"--local-addr={_LOOPBACK}",
                    "--rdzv-backend=c10d",
                    "--rdzv-conf=store_type=file",
                    f"--rdzv-endpoint={folder}/rendezvous",
                    "-m",
                    "ft_assets.worker",
                    str(work_order),
                ]
            )
        except ChildFailedError as error:
            print(error, file=sys.stderr)
            code = error.get_first_failure()[1].exitcode
            return code if code >= 0 else 128 - code
    return 0
