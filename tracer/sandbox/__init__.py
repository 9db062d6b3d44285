"""Where Theano keeps the generator of many streams: `rng_mrg`."""

from tracer.sandbox import rng_mrg as rng_mrg
