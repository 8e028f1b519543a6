"""Bridges to other frameworks; each needs the extra that bears its name.

What those frameworks would tell their makers about their use is switched off here, before any
of them is imported.
"""

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "False"
