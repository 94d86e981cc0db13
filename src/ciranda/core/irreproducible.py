"""Why a run might end in another model when it is repeated: kept in English in result.json, told in the reader's language."""

from __future__ import annotations

from ciranda.core.texts import marked

TIMING = marked("rounds close with the first replies, and who is first depends on timing")
NOT_COUNTED = marked("not every selected client was counted in round {rounds}")
MACHINES = marked("participants compute differently: their probe digests differ")
REASONS = (TIMING, NOT_COUNTED, MACHINES)
