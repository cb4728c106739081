"""A node that holds a training up at a step, so that tests know where it is."""

from __future__ import annotations

import time
from pathlib import Path

from graphengine import Context, NodePack, node


@node("tt.Hold", category="test", output_node=True, outputs="step", cacheable=False)
def hold(ctx: Context, file: str, step: int = 0) -> int:
    """Wait until a file is there."""
    while not Path(file).exists():
        ctx.check_cancelled()
        time.sleep(0.01)
    return step


pack = NodePack("training_test", modules=[__name__])
