"""What happens to an update between training and the sum: one file per stage, all of one shape (`base.Stage`), and the chain of them."""

from __future__ import annotations

from collections.abc import Mapping

from ciranda.core.stages.base import Kind, Stage, States
from ciranda.core.stages.chain import INCOMPATIBLE, Chain, incompatible
from ciranda.core.stages.clip import Clip, l2_norm
from ciranda.core.stages.float16 import Float16
from ciranda.core.stages.int8 import Int8
from ciranda.core.stages.topk import TopK

__all__ = ["INCOMPATIBLE", "STAGES", "Chain", "Clip", "Float16", "Int8", "Kind", "Stage", "States", "TopK", "incompatible", "l2_norm"]

STAGES: Mapping[str, type[Float16] | type[Int8] | type[TopK]] = {kind.name: kind for kind in (Float16, Int8, TopK)}
"""What `stage.name` can be, beside a stage of one's own."""
