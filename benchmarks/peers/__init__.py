"""One adapter for each library that the cases run on."""

from benchmarks.peers.jax_peers import Jax, JaxFromNumPy, JaxScan
from benchmarks.peers.numpy_peers import Autograd, Numba, NumPy, Tracer
from benchmarks.peers.peer import Call, Peer
from benchmarks.peers.pytensor_peers import PyTensor
from benchmarks.peers.torch_peers import Torch, TorchCompile

__all__ = ["PEERS", "Call", "Peer", "find_peer"]

PEERS: tuple[Peer, ...] = (
    Tracer(),
    NumPy(),
    Numba(),
    Autograd(),
    Jax(),
    JaxFromNumPy(),
    JaxScan(),
    Torch(),
    TorchCompile(),
    PyTensor(),
)


def find_peer(name: str) -> Peer:
    """The peer called `name`; the error lists the ones there are."""
    for peer in PEERS:
        if peer.name == name:
            return peer
    raise KeyError(f"no peer {name!r}; there are: {', '.join(peer.name for peer in PEERS)}")
