"""The functions of tensors under one name, as `theano.tensor.basic` had them."""

from tracer.tensor.assignment import *  # noqa: F403
from tracer.tensor.creation import *  # noqa: F403
from tracer.tensor.elementwise import *  # noqa: F403
from tracer.tensor.indexing import *  # noqa: F403
from tracer.tensor.joining import *  # noqa: F403
from tracer.tensor.products import *  # noqa: F403
from tracer.tensor.reduction import *  # noqa: F403
from tracer.tensor.shaping import *  # noqa: F403
from tracer.tensor.types import *  # noqa: F403
from tracer.tensor.variables import *  # noqa: F403
