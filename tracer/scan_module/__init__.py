"""Loops in symbolic expressions: `scan`, its simpler forms, and the condition `until` under which one stops."""

from tracer.scan_module.scan import scan as scan
from tracer.scan_module.scan_checkpoints import scan_checkpoints as scan_checkpoints
from tracer.scan_module.scan_utils import until as until
from tracer.scan_module.scan_views import foldl as foldl
from tracer.scan_module.scan_views import foldr as foldr
from tracer.scan_module.scan_views import map as map
from tracer.scan_module.scan_views import reduce as reduce
