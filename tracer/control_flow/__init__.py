"""Loops and conditions as functions of functions.

`cond`, `switch`, `while_loop`, `fori_loop`, `scan`, `map` and `associative_scan` work on nests of arrays. In a compiled
function they become native loops and branches, which can be differentiated and mapped like everything else; called on
arrays they are compiled and run at once. The functions they are given are plain NumPy: they may write into their
arguments, use what is around them, and set shared variables.
"""

from tracer.control_flow.conditions import cond as cond
from tracer.control_flow.conditions import switch as switch
from tracer.control_flow.loops import fori_loop as fori_loop
from tracer.control_flow.loops import while_loop as while_loop
from tracer.control_flow.prefixes import associative_scan as associative_scan
from tracer.control_flow.rows import map as map
from tracer.control_flow.rows import scan as scan
